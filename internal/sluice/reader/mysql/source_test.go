package mysql

import (
	"errors"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
)

func as(err error, e **ecluse.Error) bool { return errors.As(err, e) }

const patients = `
CREATE TABLE patient (id int PRIMARY KEY, nir varchar(15) NOT NULL, name varchar(40), born date, changed timestamp NOT NULL DEFAULT '2020-01-01', pass varchar(40), KEY (name));
INSERT INTO patient VALUES (1, '1', 'Léa', '1980-02-29', '2024-03-31 01:30:00', 'secret'), (-7, '2', NULL, NULL, '2020-01-01', 'secret'), (3, '3', 'Zoé', '2001-01-01', '2021-06-01', 'secret');
CREATE TABLE result (id bigint PRIMARY KEY, patient_id int NOT NULL, value decimal(12,3), doctor varchar(30));
INSERT INTO result VALUES (10, 1, 1.5, 'Dupont'), (11, 3, 2.25, 'dupont'), (12, 99, 3, 'Dupont '), (13, -7, NULL, NULL), (14, 1, 4, 'Dupont');
`

func TestReadsWhatThePlanSays(t *testing.T) {
	l := newLab(t, patients)
	s := l.open(t, `
datasets:
  patient:
    from: {db}.patient
    key: [id]
    columns: {id: technical, name: identity, born: identity, changed: technical}
    where: [{column: changed, from: "2021-01-01T00:00:00Z"}]
  result:
    from: {db}.result
    key: [id]
    columns: {id: technical, patient_id: technical, value: result}
    within: {patient: [patient_id]}
  doctor: {from: {db}.result, distinct: doctor, class: prescriber}
checks:
  results: {dataset: result, count: true, sum: value, first: value, last: value}
  by_patient: {dataset: result, count_by: patient_id}
  moments: {dataset: patient, first: changed, last: changed}
  births: {dataset: patient, first: born, last: born, by: name}
  doctors: {dataset: doctor, count: true}
`)
	wantRows(t, allRows(t, s, "patient"), "1|Léa|3711|1711848600000000", "3|Zoé|11323|1622505600000000")
	wantRows(t, allRows(t, s, "result"), "10|1|1500", "11|3|2250", "14|1|4000")
	wantRows(t, allRows(t, s, "doctor"), "Dupont|1", "Dupont |2", "dupont|3")
	for check, want := range map[string]string{
		"results":    "NULL|3|7.750|1.500|4.000",
		"by_patient": "1|2|NULL|NULL|NULL 3|1|NULL|NULL|NULL",
		"moments":    "NULL|NULL|NULL|2021-06-01T00:00:00Z|2024-03-31T01:30:00Z",
		"births":     "Léa|NULL|NULL|1980-02-29|1980-02-29 Zoé|NULL|NULL|2001-01-01|2001-01-01",
		"doctors":    "NULL|3|NULL|NULL|NULL",
	} {
		if got := figures(t, s, check); got != want {
			t.Errorf("check %s: %s, want %s", check, got, want)
		}
	}
	may, err := s.Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(may.Readable) != 3 || len(may.Writable) > 0 || may.Superuser || may.Whole || !strings.HasPrefix(may.Account, l.config.Read.User+"@") {
		t.Errorf("privileges %+v", may)
	}
}

func TestRefusesWithoutPermit(t *testing.T) {
	l := newLab(t, patients)
	_, err := l.source(t).Open(t.Context(), mandate.ReadPermit{})
	wantError(t, err, ecluse.Refused, "no permit")
}
