-- The invented new laboratory "NOVALAB": another shape, keys enforced, its own
-- catalogue of tests already in place.
CREATE TABLE patient (
  id          INTEGER PRIMARY KEY,
  family_name VARCHAR(60) NOT NULL,
  given_name  VARCHAR(60),
  sex         CHAR(1) CHECK (sex IN ('M', 'F')),
  birth_date  TEXT NOT NULL,
  national_id VARCHAR(15)
);
CREATE TABLE prescriber (
  id   INTEGER PRIMARY KEY,
  code VARCHAR(12) NOT NULL UNIQUE,
  name VARCHAR(80) NOT NULL,
  rpps VARCHAR(11)
);
CREATE TABLE test (
  code  VARCHAR(12) PRIMARY KEY,
  label VARCHAR(60) NOT NULL,
  unit  VARCHAR(12)
);
CREATE TABLE request (
  id            INTEGER PRIMARY KEY,
  accession     VARCHAR(12) NOT NULL UNIQUE,
  patient_id    INTEGER NOT NULL REFERENCES patient (id),
  prescriber_id INTEGER REFERENCES prescriber (id),
  collected_at  TEXT
);
CREATE TABLE observation (
  id           INTEGER PRIMARY KEY,
  request_id   INTEGER NOT NULL REFERENCES request (id),
  test_code    VARCHAR(12) NOT NULL REFERENCES test (code),
  value        VARCHAR(40),
  unit         VARCHAR(12),
  flag         CHAR(1),
  status       VARCHAR(10) NOT NULL CHECK (status IN ('final', 'pending')),
  validated_at TEXT
);
INSERT INTO test VALUES
 ('2345-7', 'Glucose', 'mmol/L'), ('2160-0', 'Créatinine', 'µmol/L'), ('2951-2', 'Sodium', 'mmol/L'), ('2823-3', 'Potassium', 'mmol/L'),
 ('718-7', 'Hémoglobine', 'g/L'), ('6690-2', 'Leucocytes', 'G/L'), ('777-3', 'Plaquettes', 'G/L'), ('1988-5', 'CRP', 'mg/L'),
 ('3016-3', 'TSH', 'mUI/L'), ('2276-4', 'Ferritine', 'µg/L'), ('2093-3', 'Cholestérol', 'mmol/L'), ('7917-8', 'VIH 1 et 2', NULL),
 ('630-4', 'ECBU', NULL), ('883-9', 'Groupe ABO', NULL), ('19080-1', 'hCG', 'UI/L'), ('4548-4', 'HbA1c', '%'),
 ('1742-6', 'ALAT', 'U/L'), ('1920-8', 'ASAT', 'U/L'), ('6301-6', 'INR', NULL), ('22664-7', 'Urée', 'mmol/L');
