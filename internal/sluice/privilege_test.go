package sluice

import (
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
)

// TestWithinPlan: what an instruction lets an account read besides lets it change
// nothing, and a superuser pass nowhere.
func TestWithinPlan(t *testing.T) {
	patient := ecluse.TableName{Schema: "public", Name: "patient"}
	plan := func(also ...string) *mandate.ReadPlan {
		return &mandate.ReadPlan{
			MayAlsoRead: also,
			Verdicts: []mandate.TableVerdict{{Table: patient, Columns: []mandate.ColumnVerdict{
				{Column: "id", Verdict: mandate.Taken}, {Column: "nir", Verdict: mandate.RefusedColumn},
			}}},
		}
	}
	narrow := map[ecluse.TableName][]string{patient: {"id"}}
	wide := map[ecluse.TableName][]string{patient: {"id", "nir"}}
	writes := []ecluse.TableName{patient}
	for name, tc := range map[string]struct {
		also []string
		may  reader.Privileges
		want string // in why; empty: allowed
	}{
		"as planned":                      {nil, reader.Privileges{Readable: narrow}, ""},
		"more than planned":               {nil, reader.Privileges{Readable: wide}, "1 columns that are not instructed, the first public.patient.nir"},
		"more, as signed":                 {[]string{"public.patient.nir"}, reader.Privileges{Readable: wide}, ""},
		"everything, as signed":           {[]string{"all"}, reader.Privileges{Readable: wide}, ""},
		"writes":                          {nil, reader.Privileges{Readable: narrow, Writable: writes}, "change 1 tables"},
		"writes, and may read one more":   {[]string{"public.patient.nir"}, reader.Privileges{Readable: wide, Writable: writes}, "change 1 tables"},
		"writes, and may read everything": {[]string{"all"}, reader.Privileges{Readable: wide, Writable: writes}, "change 1 tables"},
		"superuser":                       {nil, reader.Privileges{Superuser: true}, "superuser"},
		"superuser, may read everything":  {[]string{"all"}, reader.Privileges{Superuser: true}, "superuser"},
		"no accounts":                     {nil, reader.Privileges{Whole: true}, "lets everything be read"},
		"no accounts, as signed":          {[]string{"all"}, reader.Privileges{Whole: true}, ""},
	} {
		err := withinPlan(plan(tc.also...), &tc.may)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
