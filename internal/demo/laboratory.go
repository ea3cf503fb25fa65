// Package demo is the whole story on invented people: an old laboratory, a new
// one of another shape, contract, instruction and mapping, and the thirteen
// steps from signature to erasure, told as they happen.
package demo

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the demonstration's own databases
)

//go:embed files/old.sql
var oldSchema string

//go:embed files/new.sql
var newSchema string

// resultsPerPatient is how many results the generator makes for each patient:
// four requests of five tests, as in the benchmark.
const (
	requestsPerPatient = 4
	resultsPerRequest  = 5
	resultsPerPatient  = requestsPerPatient * resultsPerRequest
)

// names are French family and given names; put together at random they are
// nobody's in particular.
var (
	familyNames = strings.Fields(`MARTIN BERNARD DUBOIS THOMAS ROBERT RICHARD PETIT DURAND LEROY MOREAU SIMON LAURENT LEFÈVRE MICHEL GARCIA
		DAVID BERTRAND ROUX VINCENT FOURNIER MOREL GIRARD ANDRÉ MERCIER DUPONT LAMBERT BONNET FRANÇOIS MARTINEZ LEGRAND GARNIER FAURE
		ROUSSEAU BLANC GUÉRIN MULLER HENRY ROUSSEL NICOLAS PERRIN MORIN MATHIEU CLÉMENT GAUTHIER DUMONT LOPEZ FONTAINE CHEVALIER ROBIN
		MASSON D'ANGELO PETIT-JEAN GARÇON NOËL LE-GOFF BŒUF ŒUVRARD`)
	women = strings.Fields(`Léa Zoé Chloé Inès Anaïs Manon Camille Sarah Élodie Émilie Joséphine Marie-Laure Françoise Monique Hélène Agnès Noémie Maëlys Fanny Odile`)
	men   = strings.Fields(`Louis Hugo Maël Jean-Marc François Gaël Théo Loïc Jérôme Stéphane Rémi Benoît André René Noël Cédric Yves Tanguy Aurélien Joël`)
)

// analysis is one line of the old laboratory's catalogue.
type analysis struct {
	code, label, unit string
	low, high         int // in hundredths; 0, 0 for a test answered in words
	words             []string
}

var analyses = []analysis{
	{"GLY", "Glycémie", "g/L", 70, 110, nil},
	{"CREA", "Créatinine", "mg/L", 600, 1200, nil},
	{"NA", "Sodium", "mmol/L", 13600, 14500, nil},
	{"K", "Potassium", "mmol/L", 350, 510, nil},
	{"HB", "Hémoglobine", "g/dL", 1200, 1700, nil},
	{"GB", "Leucocytes", "G/L", 400, 1000, nil},
	{"PLQ", "Plaquettes", "G/L", 15000, 40000, nil},
	{"CRP", "Protéine C réactive", "mg/L", 0, 500, nil},
	{"TSH", "TSH", "mUI/L", 40, 400, nil},
	{"FERR", "Ferritine", "µg/L", 2000, 30000, nil},
	{"CHOL", "Cholestérol", "g/L", 150, 250, nil},
	{"VIH", "Sérologie VIH", "", 0, 0, []string{"Négatif", "Négatif", "Négatif", "Négatif", "Positif"}},
	{"ECBU", "ECBU", "", 0, 0, []string{"Stérile", "Stérile", "E. coli 10^5", "Flore polymorphe"}},
	{"GRP", "Groupe sanguin", "", 0, 0, []string{"A+", "O+", "B+", "AB+", "O-", "A-"}},
	{"BHCG", "bêta-hCG", "UI/L", 0, 500000, nil},
	{"HBA1C", "Hémoglobine glyquée", "%", 400, 600, nil},
	{"ALAT", "ALAT", "U/L", 700, 4500, nil},
	{"ASAT", "ASAT", "U/L", 800, 4000, nil},
	{"INR", "INR", "", 80, 120, nil},
	{"UREE", "Urée", "g/L", 15, 45, nil},
}

// Made is what the generator put into the old laboratory.
type Made struct {
	Patients, Prescribers, Requests, Results int64
	Damaged                                  int64  // rows with something wrong in them, on purpose
	Canary                                   string // stands in every column that must not travel
}

// canary marks everything that must never leave the old laboratory, so that its
// absence elsewhere can be searched for.
const canary = "ZQX-NE-DOIT-PAS-SORTIR"

// MakeOld fills the SQLite database at path with an invented laboratory. The
// same number of patients gives the same laboratory, byte for byte of data.
func MakeOld(ctx context.Context, path string, patients int) (*Made, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, oldSchema); err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	g := &generator{rnd: rand.New(rand.NewPCG(1811, 2022)), made: Made{Canary: canary}}
	g.exec = func(query string, args ...any) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
	g.prescribers(max(patients/100, 5))
	g.catalogue()
	for i := 1; i <= patients && g.err == nil; i++ {
		g.patient(int64(i))
	}
	g.flush()
	if g.err != nil {
		return nil, g.err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return &g.made, err
}

// MakeNew makes the empty new laboratory, with its catalogue of tests.
func MakeNew(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, newSchema)
	return err
}

// generator inserts rows in groups.
type generator struct {
	exec   func(query string, args ...any) error
	rnd    *rand.Rand
	made   Made
	err    error
	groups map[string]*group
	codes  []string // of prescribers
}

type group struct {
	width int
	args  []any
}

const groupRows = 40

func (g *generator) insert(table string, values ...any) {
	if g.groups == nil {
		g.groups = map[string]*group{}
	}
	in := g.groups[table]
	if in == nil {
		in = &group{width: len(values)}
		g.groups[table] = in
	}
	if in.args = append(in.args, values...); len(in.args) >= groupRows*in.width {
		g.write(table, in)
	}
}

func (g *generator) write(table string, in *group) {
	if g.err != nil || len(in.args) == 0 {
		in.args = in.args[:0]
		return
	}
	row := "(?" + strings.Repeat(",?", in.width-1) + ")"
	g.err = g.exec("INSERT INTO "+table+" VALUES "+row+strings.Repeat(","+row, len(in.args)/in.width-1), in.args...)
	in.args = in.args[:0]
}

func (g *generator) flush() {
	for table, in := range g.groups {
		g.write(table, in)
	}
}

func (g *generator) prescribers(n int) {
	for i := range n {
		code := fmt.Sprintf("P%04d", i+1)
		g.codes = append(g.codes, code)
		g.insert("PRESCRIPTEUR", code, "Dr "+pick(g.rnd, familyNames), fmt.Sprintf("100%08d", i), canary)
		g.made.Prescribers++
	}
}

func (g *generator) catalogue() {
	for _, a := range analyses {
		if a.words != nil {
			g.insert("ANALYSE", a.code, a.label, nil, nil, nil)
			continue
		}
		g.insert("ANALYSE", a.code, a.label, a.unit, hundredths(a.low), hundredths(a.high))
	}
}

func (g *generator) patient(id int64) {
	r := g.rnd
	female := r.IntN(2) == 0
	given, sex := pick(r, men), "M"
	if female {
		given, sex = pick(r, women), "F"
	}
	if r.IntN(50) == 0 { // an older convention of the same software
		sex = map[string]string{"M": "1", "F": "2"}[sex]
	}
	born := time.Date(1930, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(33000))
	typed := born.Format("02/01/2006")
	family := any(pick(r, familyNames))
	switch {
	case r.IntN(400) == 0: // damaged: a day that is none
		typed = "31/02/" + born.Format("2006")
		g.made.Damaged++
	case r.IntN(300) == 0: // not known
		sex = ""
	}
	last := 0
	for range requestsPerPatient {
		last = max(last, g.request(id))
	}
	g.insert("PATIENT", id, family, given, sex, typed, nir(r, female, born),
		fmt.Sprintf("%d rue des Acacias, %s", 1+r.IntN(90), canary), "06 00 00 00 00 "+canary, canary+"@example.org", canary,
		last, remark(r, 5), fmt.Sprintf("p%06d", id), canary)
	g.insert("COMPTE", fmt.Sprintf("p%06d", id), canary, id)
	g.made.Patients++
}

// request makes one request with its results; it returns the day it was entered.
func (g *generator) request(patient int64) int {
	r := g.rnd
	g.made.Requests++
	id := g.made.Requests
	at := time.Date(2012, 1, 2, 6, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(12*365*24*60)) * time.Minute)
	day := at.Year()*10000 + int(at.Month())*100 + at.Day()
	g.insert("DEMANDE", id, patient, pick(r, g.codes), day, at.Format("02/01/2006 15:04"), fmt.Sprintf("S%02d", r.IntN(30)), remark(r, 20))
	first := r.IntN(len(analyses))
	for k := range resultsPerRequest {
		g.made.Results++
		g.result(g.made.Results, id, analyses[(first+k*3)%len(analyses)], at)
	}
	return day
}

func (g *generator) result(id, request int64, a analysis, at time.Time) {
	r := g.rnd
	var value string
	code, flag := a.code, any(nil)
	if a.words != nil {
		value = pick(r, a.words)
	} else {
		low, high := a.low*6/10, a.high*15/10
		v := low + r.IntN(high-low+1)
		value = strings.Replace(hundredths(v), ".", ",", 1)
		switch {
		case v < a.low:
			flag = "L"
		case v > a.high:
			flag = "H"
		}
	}
	valid := any(at.Add(time.Duration(2+r.IntN(40)) * time.Hour).Format("02/01/2006 15:04:05"))
	switch r.IntN(2000) {
	case 0: // damaged: a code nobody knows any more
		code = "ANC" + fmt.Sprint(r.IntN(3))
		g.made.Damaged++
	case 1, 2, 3, 4: // not done yet
		value, valid, flag = "", nil, nil
	}
	g.insert("RESULTAT", id, request, code, value, a.unit, flag, valid, fmt.Sprintf("BIO%02d", r.IntN(12)), remark(r, 12))
}

// remark is a free comment for one row in n, always with the canary in it.
func remark(r *rand.Rand, n int) any {
	if r.IntN(n) != 0 {
		return nil
	}
	return pick(r, []string{"à jeun", "prélèvement difficile", "rappeler le patient", "contrôle demandé", "traitement en cours"}) + " " + canary
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func hundredths(v int) string { return fmt.Sprintf("%d.%02d", v/100, v%100) }

// nir makes a number that looks right, key included, and can belong to nobody:
// the order of birth in the month begins at 001, and here it is 000.
func nir(r *rand.Rand, female bool, born time.Time) string {
	sex := 1
	if female {
		sex = 2
	}
	n := int64(sex)
	n = n*100 + int64(born.Year()%100)
	n = n*100 + int64(born.Month())
	n = n*100 + int64(1+r.IntN(19)) // a department
	n = n*1000 + int64(1+r.IntN(400))
	n *= 1000 // the order: 000
	return fmt.Sprintf("%013d%02d", n, 97-n%97)
}
