-- What is asked of gates. That it is asked is no change of anything: what comes of
-- it is journalled.
-- +goose Up
CREATE TABLE work (
    id        TEXT    PRIMARY KEY,
    gate      TEXT    NOT NULL,
    migration TEXT    NOT NULL, -- empty: of a database as a whole
    verb      TEXT    NOT NULL,
    text      BLOB    NOT NULL, -- exchange.Work as JSON
    asked     INTEGER NOT NULL,
    ended     INTEGER NOT NULL DEFAULT 0,
    answer    BLOB              -- exchange.Answer as JSON; NULL when it was withdrawn
) STRICT, WITHOUT ROWID;
CREATE INDEX work_open ON work (gate) WHERE ended = 0;
