package sluice

import (
	"fmt"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/record"
)

// runTwin takes invented rows of an invented table through a mapping's columns.
func runTwin(t *testing.T, body string) *Twinned {
	t.Helper()
	text, whole := ecluse.Type{Kind: ecluse.Text}, ecluse.Type{Kind: ecluse.Int}
	d := mandate.ReadDataset{Dataset: "patient", Key: []string{"ID"}, KeyUnique: true, Columns: []mandate.ReadColumn{
		{Name: "ID", Type: whole}, {Name: "SEX", Type: text}, {Name: "NAME", Type: text, Class: ecluse.Identity}, {Name: "KIND", Type: text},
	}}
	table := ecluse.TableName{Name: "person"}
	target := &ecluse.Catalogue{Engine: ecluse.PostgreSQL, Tables: []ecluse.Table{{
		Name: table, Kind: ecluse.BaseTable, PrimaryKey: []string{"id"},
		Columns: []ecluse.Column{
			{Name: "id", Type: whole, Declared: "bigint"},
			{Name: "sex", Type: text, Declared: "character varying(1)", MaxLength: 1},
			{Name: "name", Type: text, Declared: "text", Nullable: true},
			{Name: "kind", Type: text, Declared: "kind", Nullable: true, Labels: []string{"inpatient", "outpatient"}},
		},
	}}}
	doc, err := mapping.Parse("mapping.yaml", fmt.Appendf(nil, "ecluse: mapping/v1\nid: invented-1\ninstruction: sha256:%064d\nfrom: {patient: [{into: person, columns: {%s}}]}\n", 1, body))
	if err != nil {
		t.Fatal(err)
	}
	p, err := mapping.Check(doc, mapping.Inputs{Datasets: map[ecluse.DatasetID]*record.Schema{"patient": SchemaOf(&d)}, Target: target})
	if err != nil {
		t.Fatal(err)
	}
	out, err := RunTwin(t.Context(), Twin{Program: p, ReadPlan: &mandate.ReadPlan{Datasets: []mandate.ReadDataset{d}}, Target: target, Rows: 2000})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTwinFault: what the mapping itself does wrong keeps it from passing; what is wrong
// with invented values alone does not.
func TestTwinFault(t *testing.T) {
	for name, c := range map[string]struct{ body, fault string }{
		"it copies":                             {"id: ID, sex: SEX, name: NAME", ""},
		"codes, most invented ones unknown":     {`id: ID, sex: {value: "{'M': 'M', 'F': 'F'}[SEX]", miss: reject}`, ""},
		"codes that stop the passage":           {`id: ID, sex: {value: "{'M': 'M', 'F': 'F'}[SEX]", miss: block}`, ""},
		"a list of labels, copied":              {"id: ID, sex: \"'M'\", kind: KIND", ""},
		"null for all, into NOT NULL":           {`id: ID, sex: "null_if(SEX, SEX)"`, "no invented row of patient came through"},
		"null for what is not expected":         {`id: ID, sex: "SEX == 'M' || SEX == 'F' ? SEX : null"`, ""},
		"null but for some, into NOT NULL":      {`id: ID, sex: "SEX == null ? 'M' : null_if(SEX, SEX)"`, "null in a column that takes none"},
		"every row stops the passage":           {`id: ID, sex: {value: "{'nobody-1': 'M'}[NAME + '!']", miss: block}`, "no invented row of patient came through"},
		"every row is put aside":                {`id: ID, sex: {value: "{'nobody-1': 'M'}[NAME + '!']", miss: reject}`, "no invented row of patient came through"},
		"the same primary key for all":          {"id: \"1\", sex: \"'M'\"", "its primary key is there twice"},
		"a primary key that is not declared so": {`id: {value: "to_int(SEX)", miss: reject}, sex: "'M'"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := runTwin(t, c.body)
			if (out.Fault == "") != (c.fault == "") || !strings.Contains(out.Fault, c.fault) {
				t.Errorf("fault %q; %+v", out.Fault, out)
			}
		})
	}
}
