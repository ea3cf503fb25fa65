-- People's sessions that are open. An ended one is gone; the journal has it.
-- +goose Up
CREATE TABLE session (
    hash   BLOB    PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of the token
    id     TEXT    NOT NULL UNIQUE,
    key    TEXT    NOT NULL,
    side   TEXT    NOT NULL CHECK (side IN ('controller', 'processor')),
    person TEXT    NOT NULL,
    agent  TEXT    NOT NULL,
    begun  INTEGER NOT NULL,
    seen   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
