package mandate

import (
	"fmt"
	"reflect"
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
