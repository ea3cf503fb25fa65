package mandate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse"
)

// whole is a load plan in which every field says something.
func whole() *LoadPlan {
	result, codes := ecluse.TableName{Schema: "lab", Name: "result"}, ecluse.TableName{Name: "codes"}
	digest := func(s string) ecluse.Digest { return ecluse.DigestOf([]byte(s)) }
	text := ecluse.Type{Kind: ecluse.Decimal, Precision: 9, Scale: 2}
	yes, low, high := true, int64(1), int64(9)
	into := func(more string) ecluse.ShapeTable {
		return ecluse.ShapeTable{
			Table: result, Each: "v in split(VALS, ',')", Let: []string{"c = codes[CODE]", "d = c.factor" + more}, Skip: "c == null", Counter: "id",
			Rejects: []ecluse.ShapeReject{{When: "c == null", Reason: "no code"}, {When: "d  == '  '", Reason: "no factor"}},
			Columns: []ecluse.ShapeColumn{{Column: "id", Type: text, From: "id"}, {Column: "note", Type: text, From: "VAL == 'a  b' ? 'x' : \"y  z\""}}, KeyWrite: true,
		}
	}
	return &LoadPlan{
		Format: "loadplan/v1", Migration: "m-1", Instruction: digest("i"), ReadPlan: digest("r"), Procedure: digest("p"), Passage: ecluse.Final,
		Target: PlanPlace{Gate: "g", System: "new", Engine: ecluse.SQLite}, EraseBy: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		Shape: ecluse.Shape{
			Mapping: digest("m"), Order: []ecluse.DatasetID{"patient", "result"},
			Frozen:  []ecluse.ShapeFrozen{{Name: "codes", File: "codes.csv", Digest: digest("f"), Key: []string{"CODE", "POS"}}},
			Held:    []ecluse.ShapeHeld{{Dataset: "patient", Key: []string{"ID", "SITE"}, Rows: 10}},
			Targets: []ecluse.ShapeTarget{{Name: "known", Table: codes, Columns: []string{"code", "id"}, Key: []string{"code"}, Rows: 10}},
			Datasets: []ecluse.ShapeDataset{{
				Dataset: "result", Reads: []string{"CODE", "VAL"}, Skip: "VAL == ''", Rejects: []string{"no code", "no value"},
				Into: []ecluse.ShapeTable{into(""), into(" + 1"), {Table: codes, Columns: []ecluse.ShapeColumn{{Column: "code", Type: text, From: "CODE"}}}},
			}},
			Sequences: []ecluse.ShapeSequence{{Sequence: ecluse.TableName{Name: "seq"}, Table: result, Column: "id"}},
			Checks: []ecluse.ShapeCheck{{
				Name: "n", Table: result, Count: true, Sum: "v", First: "d", Last: "d", By: "code", Minus: 5, Codes: "codes",
				Where: []ecluse.ShapeEq{{Column: "a", Equals: "1", Null: &yes, From: &low, Before: &high}},
			}},
		},
		Tables: []LoadTable{
			{Table: result, Key: []string{"id", "site"}, Columns: []LoadColumn{{Name: "id", Type: text, Declared: "int"}, {Name: "note", Type: text, Declared: "text"}}, Statement: "INSERT"},
			{Table: codes, Columns: []LoadColumn{{Name: "code", Type: text, Declared: "text"}}, Statement: "INSERT"},
		},
		Held: []LoadHeld{{Table: codes, Columns: []string{"code", "id"}, Rows: 3, Digest: digest("h")}},
	}
}

// every walks all of a value.
func every(at string, v reflect.Value, do func(string, reflect.Value)) {
	do(at, v)
	switch v.Kind() {
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			return
		}
		for i := range v.NumField() {
			every(at+"."+v.Type().Field(i).Name, v.Field(i), do)
		}
	case reflect.Slice:
		for i := range v.Len() {
			every(fmt.Sprintf("%s[%d]", at, i), v.Index(i), do)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			every(at, v.Elem(), do)
		}
	}
}

// TestCompareLoadsMissesNothing: whatever one thing a mapping or a target changes in a load
// plan, somebody who is asked to approve it sees a change.
func TestCompareLoadsMissesNothing(t *testing.T) {
	t.Parallel()
	var sites []string
	every("", reflect.ValueOf(whole()).Elem(), func(at string, _ reflect.Value) { sites = append(sites, at) })
	tried := 0
	for n, at := range sites {
		free := at == ".Format" || at == ".Migration" || at == ".Passage" || strings.HasPrefix(at, ".Target.")
		for which := range 8 {
			p, site := whole(), 0
			changed := false
			every("", reflect.ValueOf(p).Elem(), func(_ string, v reflect.Value) {
				if site == n && !changed {
					changed = alter(v, which)
				}
				site++
			})
			if !changed || free {
				continue
			}
			tried++
			if got := CompareLoads(whole(), p); len(got) == 0 {
				t.Errorf("%s, change %d: nothing is listed", at, which)
			}
		}
	}
	if tried < 150 {
		t.Errorf("only %d changes", tried)
	}
	if got := CompareLoads(whole(), whole()); got != nil {
		t.Errorf("equal plans differ in %+v", got)
	}
	a, b := whole(), whole()
	b.Shape.Mapping = ecluse.DigestOf([]byte("a comment more"))
	if got := CompareLoads(a, b); len(got) != 1 || got[0].What != ChangedText || got[0].Before == got[0].After {
		t.Errorf("only the text: %+v", got)
	}
}

// alter changes one thing about a value, in one of some ways; false: there is no such way.
func alter(v reflect.Value, which int) bool {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		switch i, j := strings.Index(s, "  "), strings.LastIndex(s, "  "); {
		case which == 0:
			v.SetString(s + "x")
		case which == 1 && s != "":
			v.SetString("")
		case which == 2 && i >= 0:
			v.SetString(s[:i] + s[i+1:])
		case which == 3 && j >= 0:
			v.SetString(s[:j] + s[j+1:])
		default:
			return false
		}
		return true
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Pointer:
		v.SetZero()
	case reflect.Array:
		v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok && which == 0 {
			v.Set(reflect.ValueOf(at.Add(time.Second)))
			return true
		}
		return false
	case reflect.Slice:
		all := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()+1), v)
		switch {
		case which == 0 && v.Len() > 0:
			v.Set(all.Slice(1, all.Len()))
		case which == 1 && v.Len() > 1:
			last := reflect.ValueOf(all.Index(0).Interface())
			all.Index(0).Set(all.Index(1))
			all.Index(1).Set(last)
			v.Set(all)
		case which == 2 && v.Len() > 0:
			v.Set(all.Slice(0, all.Len()-1))
		default:
			return false
		}
		return true
	}
	return which == 0
}

// wholeRead is a read plan in which every field says something.
func wholeRead() *ReadPlan {
	digest := func(s string) ecluse.Digest { return ecluse.DigestOf([]byte(s)) }
	patient, result := ecluse.TableName{Schema: "lab", Name: "patient"}, ecluse.TableName{Name: "result"}
	text := ecluse.Type{Kind: ecluse.Decimal, Precision: 9, Scale: 2}
	columns := []ReadColumn{{Name: "id", Class: "technical", Type: text, Declared: "int"}, {Name: "note", Class: "free-text", Type: text, AsText: true, Declared: "text", Because: "the  reason"}}
	return &ReadPlan{
		Format: "readplan/v1", Migration: "m-1", Contract: digest("c"), Instruction: digest("i"), Procedure: digest("p"),
		Source: PlanPlace{Gate: "s", System: "old", Engine: ecluse.MySQL}, Target: PlanPlace{Gate: "t", System: "new", Engine: ecluse.SQLite},
		Recipient: digest("r"), Rejects: digest("j"), Consistency: Frozen, Frozen: &PlanFreeze{By: "Anne  Martin", From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)},
		Datasets: []ReadDataset{
			{
				Dataset: "patient", From: patient, Storage: "heap", View: "e.patient", Key: []string{"id", "site"}, KeyUnique: true, Columns: columns,
				Where: []ReadCondition{{Column: "made", Type: text, From: "1", Before: "2", In: []string{"a", "b, c"}, NotNull: true}, {Column: "site", Type: text, In: []string{"1"}}},
				Rows:  &RowTolerance{Expected: 10, Tolerance: 2}, Statement: "SELECT 1",
			},
			{Dataset: "result", From: result, Distinct: true, Columns: columns[:1], Within: []ReadWithin{{Dataset: "patient", Columns: []string{"pid", "site"}}, {Dataset: "other", Columns: []string{"x"}}}, Rows: &RowTolerance{Expected: 5}, Statement: "SELECT 2"},
		},
		Verdicts: []TableVerdict{
			{Table: patient, Kind: ecluse.BaseTable, Columns: []ColumnVerdict{{Column: "id", Verdict: Taken, Class: "technical", Datasets: []ecluse.DatasetID{"patient", "x"}}, {Column: "secret", Verdict: RefusedCredential}}},
			{Table: result, Kind: ecluse.View, Columns: []ColumnVerdict{{Column: "id", Verdict: Filtered}}},
		},
		Checks:      []ReadCheck{{Name: "n", Dataset: "patient", Count: true, Sum: "v", First: "d", Last: "e", By: "code", Statement: "SELECT 3"}, {Name: "o", Dataset: "result", Count: true, Statement: "SELECT 4"}},
		MayAlsoRead: []string{"a.b", "c.d"}, Because: "no view", EraseBy: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Untried: "carried  by hand",
		Limits: PlanLimits{Rows: 10, Bytes: 20, Window: "20:00-06:00 UTC", QueriesPerSecond: 5, LoadPause: 2, Lease: "24h"},
	}
}

// TestCompareReadsMissesNothing: the same of a read plan, whose approval shows only what
// changed.
func TestCompareReadsMissesNothing(t *testing.T) {
	t.Parallel()
	var sites []string
	every("", reflect.ValueOf(wholeRead()).Elem(), func(at string, _ reflect.Value) { sites = append(sites, at) })
	tried := 0
	for n, at := range sites {
		free := at == ".Format" || at == ".Migration"
		for which := range 8 {
			p, site, changed := wholeRead(), 0, false
			every("", reflect.ValueOf(p).Elem(), func(_ string, v reflect.Value) {
				if site == n && !changed {
					changed = alter(v, which)
				}
				site++
			})
			if !changed || free {
				continue
			}
			tried++
			if got := CompareReads(wholeRead(), p); len(got) == 0 {
				t.Errorf("%s, change %d: nothing is listed", at, which)
			}
		}
	}
	if tried < 150 {
		t.Errorf("only %d changes", tried)
	}
	if got := CompareReads(wholeRead(), wholeRead()); got != nil {
		t.Errorf("equal plans differ in %+v", got)
	}
}

// TestCompareReads: each thing that a plan compiled again says otherwise is one line: not
// what follows from it, and not what stays.
func TestCompareReads(t *testing.T) {
	t.Parallel()
	after := wholeRead()
	d := &after.Datasets[0]
	d.Columns = append([]ReadColumn{}, d.Columns...)
	d.Columns[0].Declared, d.View, d.Statement = "bigint", "e.patient_2", "SELECT 1, again"
	after.Verdicts[0].Columns[1].Column = "secret2"
	after.Instruction, after.Recipient, after.Rejects = ecluse.DigestOf([]byte("i2")), ecluse.DigestOf([]byte("r2")), ecluse.DigestOf([]byte("j2"))
	after.Limits.LoadPause = 3
	var got []string
	for _, c := range CompareReads(wholeRead(), after) {
		got = append(got, c.Where+": "+c.What)
	}
	want := []string{
		"patient: column id", "plan: instruction", "plan: sessions of others beside which it pauses", "table lab.patient: verdict on secret", "table lab.patient: verdict on secret2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
