-- What night-source.sql comes to, by hand, after evening-target.sql.
SET search_path = clinlims;
SET timezone = 'UTC';

UPDATE analysis SET status_id = 6, released_date = '2022-01-12 06:40' WHERE id = 11312;
DELETE FROM result WHERE analysis_id = 11313;
DELETE FROM analysis WHERE id = 11313;
DELETE FROM sample_item WHERE id = 10021;
DELETE FROM sample_human WHERE id = 10021;
DELETE FROM sample WHERE id = 10021;
UPDATE person SET last_name = 'Belle' WHERE id = 3034;
UPDATE patient SET gender = NULL WHERE id = 3032;
INSERT INTO analysis (id, sampitem_id, test_id, test_sect_id, revision, analysis_type, is_reportable, status_id, entry_date, lastupdated, released_date) VALUES
	(11314, 10016, 10019, 56, 0, 'MANUAL', 'Y', 6, '2022-01-12 06:50', '2022-01-12 06:50', '2022-01-12 07:05'),
	(11316, 10020, 10009, 56, 0, 'MANUAL', 'Y', 6, '2022-01-11 08:40', '2022-01-11 08:40', '2022-01-11 09:10');
INSERT INTO result (id, analysis_id, sort_order, analyte_id, result_type, value, is_reportable)
	SELECT (SELECT max(id) FROM result) + row_number() OVER (), analysis, 1, 10000 + measure, 'N', text, 'Y'
	FROM (VALUES (11312, 88, '4.8'), (11314, 17, '88'), (11316, 7, '5.1')) x (analysis, measure, text);

SELECT setval(t || '_seq', n::bigint) FROM (VALUES ('analysis', (SELECT max(id) FROM analysis)), ('result', (SELECT max(id) FROM result))) x (t, n);
