-- The control database. Times are milliseconds since 1970-01-01 UTC; digests
-- and fingerprints are in their text form.
-- +goose Up
CREATE TABLE clock (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    high   INTEGER NOT NULL,
    behind INTEGER NOT NULL -- milliseconds
) STRICT;
INSERT INTO clock VALUES (1, 0, 0);

CREATE TABLE leaf (
    tree TEXT    NOT NULL,
    idx  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    text BLOB    NOT NULL,
    PRIMARY KEY (tree, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE hash (
    tree TEXT    NOT NULL,
    idx  INTEGER NOT NULL,
    hash BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tree, idx)
) STRICT, WITHOUT ROWID;

-- What may be forgotten.
CREATE TABLE body (
    tree TEXT    NOT NULL,
    idx  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    salt BLOB    NOT NULL CHECK (length(salt) = 32),
    text BLOB    NOT NULL,
    PRIMARY KEY (tree, idx),
    FOREIGN KEY (tree, idx) REFERENCES leaf
) STRICT, WITHOUT ROWID;

CREATE TABLE head (
    tree      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    text      BLOB    NOT NULL,
    signature BLOB    NOT NULL,
    PRIMARY KEY (tree, size)
) STRICT, WITHOUT ROWID;

CREATE TABLE cosignature (
    tree      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    gate      TEXT    NOT NULL,
    signature BLOB    NOT NULL,
    PRIMARY KEY (tree, size, gate),
    FOREIGN KEY (tree, size) REFERENCES head
) STRICT, WITHOUT ROWID;

-- The bytes are in the folder documents.
CREATE TABLE document (
    digest    TEXT    NOT NULL,
    migration TEXT    NOT NULL, -- empty: of the installation
    kind      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    added     INTEGER NOT NULL,
    PRIMARY KEY (digest, migration, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_of ON document (migration, kind, added);

CREATE TABLE signature (
    digest    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    signer    TEXT NOT NULL,
    armour    BLOB NOT NULL,
    PRIMARY KEY (digest, namespace, signer)
) STRICT, WITHOUT ROWID;

CREATE TABLE roster (
    side   TEXT    NOT NULL CHECK (side IN ('controller', 'processor')),
    number INTEGER NOT NULL CHECK (number > 0),
    digest TEXT    NOT NULL,
    issued INTEGER NOT NULL,
    PRIMARY KEY (side, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE migration (
    id        TEXT    PRIMARY KEY,
    contract  TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    passage   TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    suspended INTEGER NOT NULL DEFAULT 0, -- 1 by the controller, 2 by the processor
    objected  INTEGER NOT NULL DEFAULT 0,
    born      INTEGER NOT NULL,
    erase_by  INTEGER NOT NULL,
    ended     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Which document of each kind is in force.
CREATE TABLE current (
    migration TEXT NOT NULL REFERENCES migration,
    kind      TEXT NOT NULL,
    digest    TEXT NOT NULL,
    PRIMARY KEY (migration, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE act (
    digest    TEXT    PRIMARY KEY,
    migration TEXT    NOT NULL,
    side      TEXT    NOT NULL,
    person    TEXT    NOT NULL,
    role      TEXT    NOT NULL,
    recorded  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX act_of ON act (migration, recorded);

CREATE TABLE clause (
    act     TEXT    NOT NULL REFERENCES act,
    number  INTEGER NOT NULL,
    verb    TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    PRIMARY KEY (act, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE passage (
    migration TEXT    NOT NULL REFERENCES migration,
    kind      TEXT    NOT NULL CHECK (kind IN ('dry', 'rehearsal', 'final')),
    number    INTEGER NOT NULL,
    load_plan TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    begun     INTEGER NOT NULL,
    ended     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (migration, kind, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE due (
    kind      TEXT    NOT NULL,
    migration TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    done      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, migration, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX due_open ON due (at) WHERE done = 0;

CREATE TABLE lease (
    request           TEXT    PRIMARY KEY,
    migration         TEXT    NOT NULL,
    request_text      BLOB    NOT NULL,
    request_signature BLOB    NOT NULL,
    answer_text       BLOB,
    answer_signature  BLOB,
    asked             INTEGER NOT NULL,
    until             INTEGER NOT NULL,
    ended             INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_of ON lease (migration, asked);
