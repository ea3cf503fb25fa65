-- What morning-source.sql comes to, by hand, after night-target.sql.
SET search_path = clinlims;
SET timezone = 'UTC';

INSERT INTO person (id, last_name) SELECT max(id) + 1, 'Abena' FROM person;
INSERT INTO provider (id, person_id) SELECT max(id) + 1, (SELECT id FROM person WHERE last_name = 'Abena') FROM provider;
INSERT INTO sample (id, accession_number, domain, revision, entered_date, lastupdated, received_date, collection_date, status_id) VALUES
	(10022, 'BL00010022', 'H', 0, '2022-01-12 07:30', '2022-01-12 07:30', '2022-01-12', '2022-01-12 07:20', 1);
INSERT INTO sample_human (id, samp_id, patient_id, provider_id)
	SELECT 10022, 10022, 3035, pr.id FROM provider pr JOIN person pe ON pe.id = pr.person_id WHERE pe.last_name = 'Abena';
INSERT INTO sample_item (id, samp_id, sort_order, typeosamp_id, status_id, external_id, collection_date) VALUES
	(10022, 10022, 1, 1, 20, NULL, '2022-01-12 07:20');
INSERT INTO analysis (id, sampitem_id, test_id, test_sect_id, revision, analysis_type, is_reportable, status_id, entry_date, lastupdated, released_date) VALUES
	(11315, 10022, 10009, 56, 0, 'MANUAL', 'Y', 4, '2022-01-12 07:31', '2022-01-12 07:31', NULL);
UPDATE person SET last_name = 'Bella' WHERE id = 3034;

SELECT setval(t || '_seq', n::bigint) FROM (VALUES ('person', (SELECT max(id) FROM person)), ('provider', (SELECT max(id) FROM provider)), ('sample', (SELECT max(id) FROM sample)),
	('sample_human', (SELECT max(id) FROM sample_human)), ('sample_item', (SELECT max(id) FROM sample_item)), ('analysis', (SELECT max(id) FROM analysis))) x (t, n);
