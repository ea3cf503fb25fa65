-- An invented laboratory of any size for the benchmark: every value is computed.
-- psql -v patients=100000 -f bench/lab.sql DB      rows of result: 20 × patients
\set ON_ERROR_STOP on
\if :{?patients}
\else
  \set patients 100000
\endif
SET client_min_messages = warning;
DROP TABLE IF EXISTS result, patient, test CASCADE;
CREATE TABLE test (code text PRIMARY KEY, unit text, low numeric(10,3), high numeric(10,3));
INSERT INTO test VALUES
  ('A1C', '%', 4, 6), ('ALT', 'U/L', 7, 45), ('AST', 'U/L', 8, 40), ('BHCG', NULL, NULL, NULL), ('CHOL', 'g/L', 1.5, 2.5),
  ('CREA', 'mg/L', 6, 12), ('CRP', 'mg/L', 0, 5), ('ECBU', NULL, NULL, NULL), ('FER', 'ug/L', 20, 300), ('GLU', 'g/L', 0.7, 1.1),
  ('GRP', NULL, NULL, NULL), ('HB', 'g/dL', 12, 17), ('HIV', NULL, NULL, NULL), ('INR', NULL, 0.8, 1.2), ('K', 'mmol/L', 3.5, 5.1),
  ('NA', 'mmol/L', 136, 145), ('PLT', 'G/L', 150, 400), ('TSH', 'mUI/L', 0.4, 4), ('UREA', 'g/L', 0.15, 0.45), ('WBC', 'G/L', 4, 10);

CREATE TABLE patient (
  id bigint NOT NULL, nir text NOT NULL, last_name text NOT NULL, first_name text NOT NULL, birth_date date NOT NULL, sex char(1) NOT NULL,
  address text, phone text, email text, insurer text, comment text);
INSERT INTO patient
SELECT n,
       (1 + n % 2) || to_char(n % 100, 'FM00') || to_char(1 + n % 12, 'FM00') || to_char(1 + n % 95, 'FM00') || to_char(1 + n % 900, 'FM000') || '000' || to_char(1 + n % 97, 'FM00'),
       (ARRAY['MARTIN', 'BERNARD', 'LEFÈVRE', 'GARÇON', 'NOËL', 'D''ANGELO', 'PETIT-JEAN', 'ROUX'])[1 + n % 8] || ' ' || n % 7919,
       (ARRAY['Léa', 'Zoé', 'Inès', 'François', 'Hugo', 'Maël'])[1 + n % 6],
       date '1931-03-01' + (n * 6971 % 32000)::int, CASE WHEN n % 2 = 0 THEN 'F' ELSE 'M' END,
       n % 240 || ' rue des Tilleuls', '06' || to_char(n * 7907 % 100000000, 'FM00000000'), 'p' || n || '@example.org',
       'CPAM-' || to_char(1 + n % 101, 'FM000'),
       CASE WHEN n % 5 = 0 THEN 'à rappeler avant prélèvement ' || md5(n::text) END
FROM generate_series(1::bigint, :patients) n;

CREATE TABLE result (
  id bigint NOT NULL, request_id bigint NOT NULL, test_code text NOT NULL, value_num numeric(12,3), value_text text, unit text,
  ref_low numeric(10,3), ref_high numeric(10,3), flag char(1), validated_at timestamptz, validated_by text, comment text);
INSERT INTO result
SELECT n, 1 + (n - 1) / 5, t.code,
       CASE WHEN t.high IS NOT NULL THEN round(t.low * 0.6 + (t.high * 1.5 - t.low * 0.6) * ((n * 2654435761 % 100003) / 100003.0), 3) END,
       CASE WHEN t.high IS NULL THEN (ARRAY['Négatif', 'Positif', 'Stérile', 'A+', 'O-', 'voir commentaire'])[1 + n % 6] END,
       t.unit, t.low, t.high, (ARRAY[NULL, NULL, NULL, 'H', 'L', 'N'])[1 + n * 31 % 6],
       timestamptz '2014-01-01 08:00+00' + (n / 5 % 6300000) * interval '1 minute' + n % 60 * interval '1 second',
       'bio' || to_char(n % 37, 'FM00'), CASE WHEN n % 12 = 0 THEN 'dilution 1/' || n % 10 END
FROM generate_series(1::bigint, :patients * 20) n
JOIN (SELECT row_number() OVER (ORDER BY code) - 1 AS k, * FROM test) t ON t.k = n * 40503 % 20;
ALTER TABLE patient ADD PRIMARY KEY (id);
ALTER TABLE result ADD PRIMARY KEY (id);
VACUUM ANALYZE;
