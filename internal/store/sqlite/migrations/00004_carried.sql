-- What is carried by hand to gates that no line reaches, and back.
-- +goose Up
CREATE TABLE carried (
    gate   TEXT    PRIMARY KEY,
    number INTEGER NOT NULL,                  -- of the last dispatch
    came   INTEGER NOT NULL DEFAULT 0,        -- the dispatch whose return came in last
    items  INTEGER NOT NULL DEFAULT 0,        -- of that return, taken in
    digest BLOB    NOT NULL DEFAULT (x'')     -- of these items
) STRICT, WITHOUT ROWID;
