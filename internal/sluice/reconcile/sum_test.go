package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/record"
)

var key = [32]byte{1, 2, 3}

func patientTable() Table {
	return Table{
		Name:    ecluse.TableName{Schema: "lab", Name: "patient"},
		Columns: []Column{{Name: "id"}, {Name: "name"}, {Name: "sex", Padded: true}, {Name: "weight"}},
	}
}

// patient is an invented row; an empty text is null.
type patient struct {
	id        int64
	name, sex string
	weight    string
}

func patients(rows ...patient) *record.Batch {
	b := record.NewBatch(&record.Schema{Fields: []record.Field{
		{Name: "id", Type: typeInt}, {Name: "name", Type: typeText}, {Name: "sex", Type: typeText}, {Name: "weight", Type: typeNumber},
	}}, len(rows))
	for _, r := range rows {
		b.Columns[0].AppendInt(r.id)
		for i, v := range []string{r.name, r.sex, r.weight} {
			if v == "" {
				b.Columns[i+1].AppendNull()
			} else {
				b.Columns[i+1].AppendString(v)
			}
		}
	}
	return b
}

func some(n int) []patient {
	rows := make([]patient, n)
	for i := range rows {
		rows[i] = patient{int64(i + 1), fmt.Sprintf("MARTIN-%d", i%97), []string{"F", "M"}[i%2], fmt.Sprintf("%d.5", 40+i%60)}
	}
	return rows
}

func sumOf(tb testing.TB, rows ...patient) Sum {
	tb.Helper()
	s, err := NewSummer(patientTable(), key).SumBatch(patients(rows...))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// The digest is a format: notes of what was loaded are compared with what is read
// back, maybe by a later version. TestDigest computes it in another way.
func TestVector(t *testing.T) {
	got, err := json.Marshal(sumOf(t, patient{7, "ALPHA", "F", ""}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"table":"lab.patient","count":1,"total":"e1a4555ec6a8ddedc92cc8e670e7b0154e2632efeecc39fb93dcccf812dccac9"}`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Sums do not depend on order, batches or goroutines, and are taken apart as they
// are put together, like integers modulo 2^256.
func TestSumsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := some(rapid.IntRange(0, 60).Draw(t, "rows"))
		whole, err := NewSummer(patientTable(), key).SumBatch(patients(rows...))
		if err != nil {
			t.Fatal(err)
		}
		shuffled := rapid.Permutation(rows).Draw(t, "order")
		cut := rapid.IntRange(0, len(rows)).Draw(t, "cut")
		summer := NewSummer(patientTable(), key)
		a, err := summer.SumBatch(patients(shuffled[:cut]...))
		if err != nil {
			t.Fatal(err)
		}
		b, err := summer.SumBatch(patients(shuffled[cut:]...))
		if err != nil {
			t.Fatal(err)
		}
		if a.Add(b) != whole || b.Add(a) != whole || whole.Sub(a) != b || whole.Sub(whole) != (Sum{Table: whole.Table}) {
			t.Fatal("a sum is not the sum of its parts")
		}
		mod := new(big.Int).Lsh(big.NewInt(1), 256)
		want := new(big.Int).Add(new(big.Int).SetBytes(a.Total[:]), new(big.Int).SetBytes(b.Total[:]))
		if want.Mod(want, mod); want.Cmp(new(big.Int).SetBytes(whole.Total[:])) != 0 {
			t.Fatal("not the sum of integers")
		}
	})
}

// Any row changed in any column, lost, doubled, or with a value moved to another
// row, changes the sum; so do another key and another table's key.
func TestSumSeesEverything(t *testing.T) {
	rows := some(40)
	good := sumOf(t, rows...)
	change := map[string]func([]patient) []patient{
		"lost":      func(r []patient) []patient { return r[1:] },
		"doubled":   func(r []patient) []patient { return append(r, r[3]) },
		"name":      func(r []patient) []patient { r[5].name += "x"; return r },
		"null":      func(r []patient) []patient { r[5].weight = ""; return r },
		"weight":    func(r []patient) []patient { r[5].weight = "45.51"; return r },
		"swapped":   func(r []patient) []patient { r[1].name, r[2].name = r[2].name, r[1].name; return r },
		"replaced":  func(r []patient) []patient { r[0] = r[1]; return r },
		"one digit": func(r []patient) []patient { r[9].id++; return r },
	}
	for name, f := range change {
		if got := sumOf(t, f(slices.Clone(rows))...); got.Total == good.Total {
			t.Errorf("%s: the same total", name)
		}
	}
	same := slices.Clone(rows)
	same[4].weight += "0"
	same[5].sex += "   "
	if got := sumOf(t, same...); got != good {
		t.Error("padding or a zero after the point changed the sum")
	}
	other, err := NewSummer(patientTable(), [32]byte{9}).SumBatch(patients(rows...))
	if err != nil || other.Total == good.Total {
		t.Errorf("another key, the same total: %v", err)
	}
}

func TestSumExcept(t *testing.T) {
	rows := some(10)
	source := []int32{0, 0, 1, 2, 2, 2, 5, 7, 7, 9} // rows 0 and 1 come of source row 0, …
	for _, refused := range [][]int32{nil, {0}, {2, 7}, {1, 3, 4, 9}, {0, 1, 2, 5, 7, 9}, {100}} {
		var kept []patient
		for i, r := range rows {
			if !slices.Contains(refused, source[i]) {
				kept = append(kept, r)
			}
		}
		got, err := NewSummer(patientTable(), key).SumExcept(patients(rows...), source, refused)
		if err != nil || got != sumOf(t, kept...) {
			t.Errorf("without %v: %d rows, %v", refused, got.Count, err)
		}
	}
}

// A column that a dataset does not write is as good as null, and the place of
// columns in a batch means nothing.
func TestColumns(t *testing.T) {
	b := record.NewBatch(&record.Schema{Fields: []record.Field{{Name: "name", Type: typeText}, {Name: "id", Type: typeInt}}}, 1)
	b.Columns[0].AppendString("ALPHA")
	b.Columns[1].AppendInt(7)
	got, err := NewSummer(patientTable(), key).SumBatch(b)
	if err != nil || got != sumOf(t, patient{7, "ALPHA", "", ""}) {
		t.Errorf("fewer columns, in another order: %v", err)
	}
	b.Schema.Fields[0].Name = "password"
	if _, err := NewSummer(patientTable(), key).SumBatch(b); ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "password") {
		t.Errorf("a column that is not compared: %v", err)
	}
	_, err = NewSummer(patientTable(), key).SumBatch(patients(patient{1, "CANARI", "F", "12 kg"}))
	if ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "weight") || strings.Contains(err.Error(), "kg") {
		t.Errorf("text among numbers: %v", err)
	}
}

func TestSumsJSON(t *testing.T) {
	sums := Sums{}
	sums.Add(sumOf(t, some(3)...))
	sums.Add(sumOf(t, some(5)...))
	sums.Add(Sum{Table: ecluse.TableName{Name: "a.b"}})
	text, err := json.Marshal(sums)
	if err != nil {
		t.Fatal(err)
	}
	var back Sums
	err = json.Unmarshal(text, &back)
	if diff := cmp.Diff(sums, back); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if bytes.Contains(text, []byte("MARTIN")) || !bytes.HasPrefix(text, []byte(`[{"table":"\"a.b\""`)) {
		t.Errorf("%s", text)
	}
	for _, bad := range []string{`{}`, `[{"table":"a","total":"00"}]`, `[{"table":"a"},{"table":"a"}]`, `[{"table":"a","total":"` + strings.Repeat("zz", 32) + `"}]`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// shelf is a reader.Scanner over rows in memory, that emits from several
// goroutines as one on a server does.
type shelf struct {
	tables  map[string][]patient
	figures *record.Batch
	fail    error
}

func (s *shelf) Scan(ctx context.Context, t ecluse.TableName, _ []string, emit func(*record.Batch) error) error {
	rows := slices.Clone(s.tables[t.String()])
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	g, _ := errgroup.WithContext(ctx)
	for part := range slices.Chunk(rows, max(1, len(rows)/3)) {
		g.Go(func() error {
			for batch := range slices.Chunk(part, 7) {
				if err := emit(patients(batch...)); err != nil {
					return err
				}
			}
			return s.fail
		})
	}
	return g.Wait()
}

func (s *shelf) Check(context.Context, ecluse.ShapeCheck) (*record.Batch, error) {
	return s.figures, nil
}
func (s *shelf) At() time.Time { return time.Unix(0, 0) }
func (s *shelf) Close() error  { return nil }

func TestReadBack(t *testing.T) {
	sc := &shelf{tables: map[string][]patient{"lab.patient": some(100)}}
	empty := patientTable()
	empty.Name.Name = "person"
	keys := func(ecluse.TableName) [32]byte { return key }
	rows := 0
	got, err := ReadBack(t.Context(), sc, keys, []Table{patientTable(), empty}, func(n, _ int) { rows += n })
	if err != nil || rows != 100 {
		t.Fatal(err)
	}
	want := Sums{patientTable().Name: sumOf(t, some(100)...), empty.Name: {Table: empty.Name}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sc.fail = errors.New("connection lost")
	if _, err := ReadBack(t.Context(), sc, keys, []Table{patientTable()}, nil); !errors.Is(err, sc.fail) {
		t.Errorf("a scanner that fails: %v", err)
	}
	narrow := patientTable()
	narrow.Columns = narrow.Columns[:2]
	sc.fail = nil
	if _, err := ReadBack(t.Context(), sc, keys, []Table{narrow}, nil); err == nil {
		t.Error("other columns than were asked for came back and were summed")
	}
}
