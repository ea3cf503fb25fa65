-- The invented old laboratory "ANCILAB": codes of its own, dates as text, commas
-- in numbers, log-ins and passwords of its portal beside the patients.
CREATE TABLE PATIENT (
  NUMPAT    INTEGER PRIMARY KEY,
  NOM       TEXT NOT NULL,
  PRENOM    TEXT,
  SEXE      TEXT,               -- M, F, 1, 2 or nothing
  DATNAIS   TEXT,               -- JJ/MM/AAAA, as typed
  NIR       TEXT,
  ADRESSE   TEXT,
  TEL       TEXT,
  EMAIL     TEXT,
  MUTUELLE  TEXT,
  DERNVIS   INTEGER,            -- last visit, AAAAMMJJ
  REMARQUE  TEXT,               -- free text
  LOGIN     TEXT,               -- of the patients' portal
  MOTDEPASSE TEXT               -- of the patients' portal
);
CREATE TABLE PRESCRIPTEUR (
  CODE TEXT PRIMARY KEY,
  NOM  TEXT NOT NULL,
  RPPS TEXT,
  TEL  TEXT
);
CREATE TABLE ANALYSE (
  CODE    TEXT PRIMARY KEY,
  LIBELLE TEXT NOT NULL,
  UNITE   TEXT,
  MINI    TEXT,
  MAXI    TEXT
);
CREATE TABLE DEMANDE (
  NUMDEM   INTEGER PRIMARY KEY,
  NUMPAT   INTEGER NOT NULL,
  CODPRESC TEXT,
  SAISIE   INTEGER NOT NULL,    -- AAAAMMJJ
  PRELEVE  TEXT,                -- JJ/MM/AAAA HH:MM
  SERVICE  TEXT,
  COMMENTAIRE TEXT              -- free text
);
CREATE TABLE RESULTAT (
  NUMRES   INTEGER PRIMARY KEY,
  NUMDEM   INTEGER NOT NULL,
  CODE     TEXT NOT NULL,
  VALEUR   TEXT,                -- 5,27 or Négatif
  UNITE    TEXT,
  DRAPEAU  TEXT,
  VALIDE   TEXT,                -- JJ/MM/AAAA HH:MM:SS, empty while pending
  BIOLOGISTE TEXT,
  COMMENTAIRE TEXT              -- free text
);
CREATE TABLE COMPTE (
  LOGIN TEXT PRIMARY KEY,
  SECRET TEXT NOT NULL,
  NUMPAT INTEGER NOT NULL
);
