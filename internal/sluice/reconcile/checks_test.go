package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// lines is a batch of figures: "key|count|sum|first|last", where "-" is null. With
// a name in front, of the source's sealed checks.
func lines(named bool, rows ...string) *record.Batch {
	s := &record.Schema{Fields: []record.Field{
		{Name: "key", Type: typeText}, {Name: "count", Type: typeInt}, {Name: "sum", Type: typeNumber}, {Name: "first", Type: typeText}, {Name: "last", Type: typeText},
	}}
	if named {
		s.Fields = append([]record.Field{{Name: "check", Type: typeText}}, s.Fields...)
	}
	b := record.NewBatch(s, len(rows))
	for _, row := range rows {
		for i, v := range strings.Split(row, "|") {
			var n int64
			switch c := b.Columns[i]; {
			case v == "-":
				c.AppendNull()
			case record.Fixed(c.Type().Kind):
				if _, err := fmt.Sscan(v, &n); err != nil {
					panic(err)
				}
				c.AppendInt(n)
			default:
				c.AppendString(v)
			}
		}
	}
	return b
}

func compare(t *testing.T, check ecluse.ShapeCheck, codes map[string]string, source, target []string) CheckResult {
	t.Helper()
	named := make([]string, len(source))
	for i, l := range source {
		named[i] = check.Name + "|" + l
	}
	into := map[string]Figures{}
	if err := SplitChecks(lines(true, named...), into); err != nil {
		t.Fatal(err)
	}
	return CompareCheck(check, codes, into[check.Name], lines(false, target...))
}

func TestCompareCheck(t *testing.T) {
	plain := ecluse.ShapeCheck{Name: "c"}
	codes := map[string]string{"101": "GLU", "102": "CREA", "103": "GLU"}
	for _, c := range []struct {
		what           string
		check          ecluse.ShapeCheck
		source, target []string
		off            []string // keys
	}{
		{"counts", plain, []string{"GLU|5|-|-|-", "K|2|-|-|-"}, []string{"K|2|-|-|-", "GLU|5|-|-|-"}, nil},
		{"another count", plain, []string{"GLU|5|-|-|-", "K|2|-|-|-"}, []string{"GLU|5|-|-|-", "K|3|-|-|-"}, []string{"K"}},
		{"a key too few", plain, []string{"GLU|5|-|-|-", "K|2|-|-|-"}, []string{"GLU|5|-|-|-"}, []string{"K"}},
		{"a key too many", plain, []string{"GLU|5|-|-|-"}, []string{"GLU|5|-|-|-", "K|2|-|-|-"}, []string{"K"}},
		{"keys by bytes", plain, []string{"é|5|-|-|-"}, []string{"e|5|-|-|-"}, []string{"e", "é"}},
		{"null is not empty", plain, []string{"-|5|-|-|-"}, []string{"|5|-|-|-"}, []string{"", ""}},
		{"nothing on either side", plain, nil, nil, nil},
		{"sums, exact", plain, []string{"-|-|12.50|-|-"}, []string{"-|-|12.5000|-|-"}, nil},
		{"sums, off by a thousandth", plain, []string{"-|-|99999999999999999999.001|-|-"}, []string{"-|-|99999999999999999999.002|-|-"}, []string{""}},
		{"sum of nothing is not zero", plain, []string{"-|0|-|-|-"}, []string{"-|0|0|-|-"}, []string{""}},
		{"NaN", plain, []string{"-|1|NaN|-|-"}, []string{"-|1|NaN|-|-"}, nil},
		{"first and last", plain, []string{"-|-|-|2019-04-14|2021-01-01 10:00:00"}, []string{"-|-|-|2019-04-14 00:00:00|2021-01-01 11:00:00+01"}, nil},
		{"last, a microsecond off", plain, []string{"-|-|-|-|2021-01-01 10:00:00"}, []string{"-|-|-|-|2021-01-01 10:00:00.000001"}, []string{""}},
		{"first as numbers", plain, []string{"-|-|-|1.10|9"}, []string{"-|-|-|1.1|10"}, []string{""}},
		{"moved keys", ecluse.ShapeCheck{Name: "c", Minus: 10000}, []string{"86|4|-|-|-"}, []string{"10086|4|-|-|-"}, nil},
		{"moved keys, wrongly", ecluse.ShapeCheck{Name: "c", Minus: 10000}, []string{"86|4|-|-|-"}, []string{"86|4|-|-|-"}, []string{"-9914", "86"}},
		{
			"codes, two for one",
			ecluse.ShapeCheck{Name: "c", Codes: "t"},
			[]string{"GLU|7|3.5|2001-01-01|2009-01-01", "CREA|1|1|-|-"},
			[]string{"101|4|1.5|2003-01-01|2009-01-01", "103|3|2.0|2001-01-01|2004-01-01", "102|1|1.0|-|-"},
			nil,
		},
		{"a code nobody knows", ecluse.ShapeCheck{Name: "c", Codes: "t"}, []string{"GLU|4|-|-|-"}, []string{"101|4|-|-|-", "999|1|-|-|-"}, []string{"999"}},
		{"the source's own code in the target", ecluse.ShapeCheck{Name: "c", Codes: "t"}, []string{"GLU|4|-|-|-"}, []string{"GLU|4|-|-|-"}, []string{"GLU", "GLU"}},
		{"null keys stay", ecluse.ShapeCheck{Name: "c", Codes: "t"}, []string{"-|4|-|-|-"}, []string{"-|4|-|-|-"}, nil},
	} {
		r := compare(t, c.check, codes, c.source, c.target)
		var off []string
		for _, l := range r.Off {
			off = append(off, l.Key)
		}
		if diff := cmp.Diff(c.off, off); diff != "" || r.Why != "" || r.Equal() != (c.off == nil) {
			t.Errorf("%s: %s %s", c.what, r.Why, diff)
		}
	}
}

func TestCompareCheckRefuses(t *testing.T) {
	minus := ecluse.ShapeCheck{Name: "c", Minus: 5}
	if r := compare(t, minus, nil, []string{"1|1|-|-|-"}, []string{"CANARI|1|-|-|-"}); r.Why == "" || r.Equal() || strings.Contains(r.Why, "CANARI") {
		t.Errorf("a key that is no number: %+v", r)
	}
	bad := lines(false, "GLU|1|-|-|-")
	bad.Schema.Fields[1].Name = "n"
	if r := CompareCheck(ecluse.ShapeCheck{Name: "c"}, nil, nil, bad); r.Equal() {
		t.Error("figures without a count were compared")
	}
	if err := SplitChecks(lines(false), map[string]Figures{}); err == nil {
		t.Error("checks without a name were read")
	}
	text := lines(true, "c|GLU|1|CANARI|-|-")
	if err := SplitChecks(text, map[string]Figures{}); err == nil || strings.Contains(err.Error(), "CANARI") {
		t.Errorf("a sum that is no number: %v", err)
	}
}

// A report lists a bounded number of lines.
func TestCheckIsBounded(t *testing.T) {
	var source []string
	for i := range MaxOff + 5 {
		source = append(source, fmt.Sprintf("%d|1|-|-|-", i))
	}
	r := compare(t, ecluse.ShapeCheck{Name: "c"}, nil, source, nil)
	if r.Lines != MaxOff+5 || len(r.Off) != MaxOff || r.More != 5 {
		t.Errorf("%d lines, %d listed, %d more", r.Lines, len(r.Off), r.More)
	}
}

// TestPutAside: what was put aside is taken off counts and sums; a first or last
// row that was put aside leaves a bound.
func TestPutAside(t *testing.T) {
	figure := func(count int64, sum string, first, last string) *Figure {
		return &Figure{Count: &count, Sum: amount([]byte(sum)), First: &first, Last: &last}
	}
	all := figure(10, "20.5", "2015-01-01", "2020-12-31")
	for name, c := range map[string]struct {
		aside, target *Figure
		equal         bool
	}{
		"rows inside":                          {figure(2, "1.5", "2016-01-01", "2016-01-01"), figure(8, "19", "2015-01-01", "2020-12-31"), true},
		"rows inside, the first is not there":  {figure(2, "1.5", "2016-01-01", "2016-01-01"), figure(8, "19", "2015-06-01", "2020-12-31"), false},
		"the first":                            {figure(1, "0.5", "2015-01-01", "2015-01-01"), figure(9, "20", "2015-06-01", "2020-12-31"), true},
		"the first, and one came from nowhere": {figure(1, "0.5", "2015-01-01", "2015-01-01"), figure(9, "20", "2014-06-01", "2020-12-31"), false},
		"the last":                             {figure(1, "0.5", "2020-12-31", "2020-12-31"), figure(9, "20", "2015-01-01", "2020-12-30"), true},
		"the last, and one came from nowhere":  {figure(1, "0.5", "2020-12-31", "2020-12-31"), figure(9, "20", "2015-01-01", "2021-12-30"), false},
		"one too few":                          {figure(1, "0.5", "2016-01-01", "2016-01-01"), figure(8, "20", "2015-01-01", "2020-12-31"), false},
		"another sum":                          {figure(1, "0.5", "2016-01-01", "2016-01-01"), figure(9, "20.5", "2015-01-01", "2020-12-31"), false},
	} {
		source := Figures{Key{Null: true}: all}
		source.PutAside(Figures{Key{Null: true}: c.aside})
		if got := source[Key{Null: true}].equal(c.target); got != c.equal {
			t.Errorf("%s: equal is %v", name, got)
		}
	}
	source := Figures{}
	source.PutAside(Figures{Key{Text: "unknown"}: figure(1, "1", "2015-01-01", "2015-01-01")})
	if n := source[Key{Text: "unknown"}].Count; n == nil || *n != -1 {
		t.Error("a key that the source never counted is no difference")
	}
}
