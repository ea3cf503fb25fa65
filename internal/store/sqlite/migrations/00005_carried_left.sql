-- What was carried in and could not be taken in yet: it was refused, or waits for what was.
-- +goose Up
CREATE TABLE carried_left (
    gate      TEXT    NOT NULL,
    number    INTEGER NOT NULL, -- of the dispatch that it answers
    item      INTEGER NOT NULL, -- its place in that return
    migration TEXT    NOT NULL, -- empty: of none
    digest    BLOB    NOT NULL, -- of the items of that return as far as this one
    anew      INTEGER NOT NULL DEFAULT 0, -- 1: the gate was asked for it anew since
    PRIMARY KEY (gate, number, item)
) STRICT, WITHOUT ROWID;
