package postgres

// MarkerTables makes the schema that holds Écluse's own tables in a target, where
// it is not there yet: passages under way and over, and the chunks that are in.
const MarkerTables = `
CREATE SCHEMA IF NOT EXISTS ` + Markers + `;
CREATE TABLE IF NOT EXISTS ` + Markers + `.passage (
	migration text NOT NULL,
	passage text NOT NULL,
	plan text NOT NULL,
	begun timestamptz NOT NULL DEFAULT now(),
	before text,
	ended timestamptz,
	outcome text,
	PRIMARY KEY (migration, passage)
);
CREATE TABLE IF NOT EXISTS ` + Markers + `.marker (
	migration text NOT NULL,
	passage text NOT NULL,
	dataset text NOT NULL,
	sequence integer NOT NULL,
	version integer NOT NULL,
	position integer NOT NULL,
	reading integer NOT NULL,
	counters json NOT NULL,
	refused json NOT NULL,
	rows json NOT NULL,
	at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (migration, passage, dataset, sequence, version),
	FOREIGN KEY (migration, passage) REFERENCES ` + Markers + `.passage
);
COMMENT ON SCHEMA ` + Markers + ` IS 'Écluse: which chunks of a migration are in. It holds no record.';
`
