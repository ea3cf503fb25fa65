-- The invented laboratory of lab.sql, in MariaDB. SET @patients first.
SET time_zone = '+00:00';
CREATE TABLE test (k int PRIMARY KEY, code varchar(8) NOT NULL, unit varchar(8), low decimal(10,3), high decimal(10,3));
INSERT INTO test VALUES
  (0, 'A1C', '%', 4, 6), (1, 'ALT', 'U/L', 7, 45), (2, 'AST', 'U/L', 8, 40), (3, 'BHCG', NULL, NULL, NULL), (4, 'CHOL', 'g/L', 1.5, 2.5),
  (5, 'CREA', 'mg/L', 6, 12), (6, 'CRP', 'mg/L', 0, 5), (7, 'ECBU', NULL, NULL, NULL), (8, 'FER', 'ug/L', 20, 300), (9, 'GLU', 'g/L', 0.7, 1.1),
  (10, 'GRP', NULL, NULL, NULL), (11, 'HB', 'g/dL', 12, 17), (12, 'HIV', NULL, NULL, NULL), (13, 'INR', NULL, 0.8, 1.2), (14, 'K', 'mmol/L', 3.5, 5.1),
  (15, 'NA', 'mmol/L', 136, 145), (16, 'PLT', 'G/L', 150, 400), (17, 'TSH', 'mUI/L', 0.4, 4), (18, 'UREA', 'g/L', 0.15, 0.45), (19, 'WBC', 'G/L', 4, 10);

CREATE TABLE patient (
  id bigint NOT NULL PRIMARY KEY, nir varchar(20) NOT NULL, last_name varchar(60) NOT NULL, first_name varchar(60) NOT NULL, birth_date date NOT NULL, sex char(1) NOT NULL,
  address varchar(100), phone varchar(20), email varchar(60), insurer varchar(20), comment text);
INSERT INTO patient
SELECT n,
       concat(1 + n % 2, lpad(n % 100, 2, '0'), lpad(1 + n % 12, 2, '0'), lpad(1 + n % 95, 2, '0'), lpad(1 + n % 900, 3, '0'), '000', lpad(1 + n % 97, 2, '0')),
       concat(elt(1 + n % 8, 'MARTIN', 'BERNARD', 'LEFÈVRE', 'GARÇON', 'NOËL', 'D''ANGELO', 'PETIT-JEAN', 'ROUX'), ' ', n % 7919),
       elt(1 + n % 6, 'Léa', 'Zoé', 'Inès', 'François', 'Hugo', 'Maël'),
       date '1931-03-01' + INTERVAL (n * 6971 % 32000) DAY, IF(n % 2 = 0, 'F', 'M'),
       concat(n % 240, ' rue des Tilleuls'), concat('06', lpad(n * 7907 % 100000000, 8, '0')), concat('p', n, '@example.org'),
       concat('CPAM-', lpad(1 + n % 101, 3, '0')),
       IF(n % 5 = 0, concat('à rappeler avant prélèvement ', md5(n)), NULL)
FROM (SELECT seq AS n FROM seq_1_to_100000000 WHERE seq <= @patients) AS x;

CREATE TABLE result (
  id bigint NOT NULL PRIMARY KEY, request_id bigint NOT NULL, test_code varchar(8) NOT NULL, value_num decimal(12,3), value_text varchar(40), unit varchar(8),
  ref_low decimal(10,3), ref_high decimal(10,3), flag char(1), validated_at timestamp NULL, validated_by varchar(10), comment text);
INSERT INTO result
SELECT n, 1 + (n - 1) DIV 5, t.code,
       IF(t.high IS NOT NULL, round(t.low * 0.6 + (t.high * 1.5 - t.low * 0.6) * ((n * 2654435761 % 100003) / 100003.0), 3), NULL),
       IF(t.high IS NULL, elt(1 + n % 6, 'Négatif', 'Positif', 'Stérile', 'A+', 'O-', 'voir commentaire'), NULL),
       t.unit, t.low, t.high, elt(1 + n * 31 % 6, NULL, NULL, NULL, 'H', 'L', 'N'),
       timestamp '2014-01-01 08:00:00' + INTERVAL (n DIV 5 % 6300000) MINUTE + INTERVAL (n % 60) SECOND,
       concat('bio', lpad(n % 37, 2, '0')), IF(n % 12 = 0, concat('dilution 1/', n % 10), NULL)
FROM (SELECT seq AS n FROM seq_1_to_2000000000 WHERE seq <= @patients * 20) AS x
JOIN test AS t ON t.k = n * 40503 % 20;
ANALYZE TABLE patient, result;
