-- What evening-source.sql comes to in OpenELIS Global on PostgreSQL: written by hand from
-- the rules of MAPPING.md, and applied to a copy of a laboratory whose facts are those of
-- expected.txt. A passage that was caught up has the facts of this copy.
SET search_path = clinlims;
SET timezone = 'UTC';

INSERT INTO person (id, last_name, first_name, lastupdated) VALUES
	(3034, 'Bell', 'Awa Ngo', '2022-01-11 08:12'), (3035, 'Essomba', NULL, '2022-01-11 08:20');
INSERT INTO patient (id, person_id, gender, birth_date, entered_birth_date, external_id, chart_number, lastupdated) VALUES
	(3034, 3034, 'F', '1987-03-14', '14/03/1987', 'BLIS-3034', '14', '2022-01-11 08:12'),
	(3035, 3035, 'M', '2001-02-03', '03/02/2001', 'BLIS-3035', '15', '2022-01-11 08:20');
INSERT INTO patient_identity (id, identity_type_id, patient_id, identity_data)
	SELECT (SELECT max(id) FROM patient_identity) + row_number() OVER (), kind, patient, number
	FROM (VALUES (2, 3034, '14'), (9, 3035, '77001'), (2, 3035, '15')) x (kind, patient, number);

DELETE FROM result WHERE analysis_id IN (SELECT id FROM analysis WHERE sampitem_id = 10015);
DELETE FROM analysis WHERE sampitem_id = 10015;
DELETE FROM sample_item WHERE id = 10015;
DELETE FROM sample_human WHERE id = 10015;
DELETE FROM sample WHERE id = 10015;

INSERT INTO sample (id, accession_number, domain, revision, entered_date, lastupdated, received_date, collection_date, status_id) VALUES
	(10019, 'BL00010019', 'H', 0, '2022-01-11 08:14', '2022-01-11 08:14', '2022-01-11', '2022-01-11 08:05', 3),
	(10020, 'BL00010020', 'H', 0, '2022-01-11 08:22', '2022-01-11 08:22', '2022-01-11', '2022-01-11', 1),
	(10021, 'BL00010021', 'H', 0, '2022-01-11 08:30', '2022-01-11 08:30', '2022-01-11', '2022-01-10 23:40', 1);
INSERT INTO sample_human (id, samp_id, patient_id, provider_id)
	SELECT sample, sample, patient, (SELECT pr.id FROM provider pr JOIN person pe ON pe.id = pr.person_id WHERE pe.last_name = doctor)
	FROM (VALUES (10019, 3034, 'Jones'), (10020, 3035, 'physician'), (10021, 1200, 'Buck')) x (sample, patient, doctor);
INSERT INTO sample_item (id, samp_id, sort_order, typeosamp_id, status_id, external_id, collection_date) VALUES
	(10019, 10019, 1, 2, 20, 'A-19', '2022-01-11 08:05'), (10020, 10020, 1, 4, 20, NULL, '2022-01-11'), (10021, 10021, 1, 1009, 20, NULL, '2022-01-10 23:40');
INSERT INTO analysis (id, sampitem_id, test_id, test_sect_id, revision, analysis_type, is_reportable, status_id, entry_date, lastupdated, released_date) VALUES
	(11311, 10019, 10009, 56, 0, 'MANUAL', 'Y', 6, '2022-01-11 08:15', '2022-01-11 08:15', '2022-01-11 09:02:11'),
	(11312, 10020, 10084, 56, 0, 'MANUAL', 'Y', 4, '2022-01-11 08:23', '2022-01-11 08:23', NULL),
	(11313, 10021, 10060, 57, 0, 'MANUAL', 'Y', 15, '2022-01-11 08:31', '2022-01-11 08:31', NULL);
UPDATE analysis SET status_id = 6, released_date = '2022-01-11 07:48' WHERE id = 11310;
UPDATE analysis SET status_id = 15 WHERE id = 11309;

-- Values by the order of the test's measures; empty ones give no row and keep their place.
DELETE FROM result WHERE analysis_id = 118;
INSERT INTO result (id, analysis_id, sort_order, analyte_id, result_type, value, is_reportable)
	SELECT (SELECT max(id) FROM result) + row_number() OVER (), analysis, place, 10000 + measure, kind, text, 'Y'
	FROM (VALUES (11311, 1, 7, 'N', '5.4'), (11310, 1, 30, 'N', '62'), (11309, 1, 6, 'N', '31'), (118, 1, 88, 'N', '6.1'),
		(11313, 1, 59, 'A', 'Clear'), (11313, 4, 170, 'A', 'Rare'), (11313, 7, 173, 'N', '7')) x (analysis, place, measure, kind, text);

UPDATE person SET last_name = 'Fouda', first_name = 'Marie Claire' WHERE id = 3030;
UPDATE patient SET gender = 'F' WHERE id = 3032;
UPDATE sample SET status_id = 3 WHERE id = 10016;
UPDATE sample_human SET provider_id = (SELECT pr.id FROM provider pr JOIN person pe ON pe.id = pr.person_id WHERE pe.last_name = 'Fox') WHERE id = 10016;

DELETE FROM patient_identity WHERE patient_id = 11;
DELETE FROM patient WHERE id = 11;
DELETE FROM person WHERE id = 11;

SELECT setval(t || '_seq', n::bigint) FROM (VALUES ('patient', (SELECT max(id) FROM patient)),
	('patient_identity', (SELECT max(id) FROM patient_identity)), ('sample', (SELECT max(id) FROM sample)), ('sample_human', (SELECT max(id) FROM sample_human)),
	('sample_item', (SELECT max(id) FROM sample_item)), ('analysis', (SELECT max(id) FROM analysis)), ('result', (SELECT max(id) FROM result))) x (t, n);
