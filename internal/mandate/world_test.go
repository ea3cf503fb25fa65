package mandate_test

import (
	"testing"

	"ecluse"
	"ecluse/internal/mandate/mandatetest"
)

// source is an invented old laboratory.
func source() *ecluse.Catalogue {
	col := func(name string, kind ecluse.DataKind, declared string) ecluse.Column {
		return ecluse.Column{Name: name, Type: ecluse.Type{Kind: kind}, Declared: declared}
	}
	table := func(name string, columns ...ecluse.Column) ecluse.Table {
		return ecluse.Table{Name: ecluse.TableName{Schema: "public", Name: name}, Kind: ecluse.BaseTable, Storage: "heap", Columns: columns}
	}
	patient := table(
		"patient", col("patient_id", ecluse.Int, "integer"), col("nir", ecluse.Text, "character(15)"), col("last_name", ecluse.Text, "text"),
		col("birth_date", ecluse.Date, "date"), col("address", ecluse.Text, "text"), col("created_on", ecluse.Timestamp, "timestamp"),
		col("portal_password", ecluse.Text, "text"),
	)
	patient.PrimaryKey = []string{"patient_id"}
	result := table(
		"result", col("result_id", ecluse.Int, "integer"), col("patient_id", ecluse.Int, "integer"), col("code", ecluse.Text, "text"),
		col("value", ecluse.Number, "numeric"), col("price", ecluse.Text, "money"), col("scan", ecluse.Bytes, "bytea"),
		col("validated_on", ecluse.Instant, "timestamp with time zone"), col("prescriber", ecluse.Text, "text"),
	)
	result.PrimaryKey = []string{"result_id"}
	return &ecluse.Catalogue{Engine: ecluse.PostgreSQL, Tables: []ecluse.Table{patient, result, table("stock", col("item", ecluse.Text, "text"))}}
}

const body = `
datasets:
  patient:
    from: public.patient
    key: [patient_id]
    columns: {patient_id: technical, nir: national-id, last_name: identity, birth_date: identity}
    where: [{column: created_on, from: 2015-01-01, before: "2020-11-01T06:00:00.5"}]
  result:
    from: public.result
    key: [result_id]
    columns: {result_id: technical, patient_id: technical, code: result, value: {class: result, as: text}, validated_on: result}
    within: {patient: [patient_id]}
  prescriber: {from: public.result, distinct: prescriber, class: prescriber, within: {patient: [patient_id]}}
checks:
  per_code: {dataset: result, count_by: code}
  dates: {dataset: result, first: validated_on, last: validated_on}
`

func migration(t *testing.T) *mandatetest.Migration {
	t.Helper()
	return mandatetest.New(t).Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
}

// target is an invented new laboratory.
func target() *ecluse.Catalogue {
	return &ecluse.Catalogue{
		Engine: ecluse.PostgreSQL,
		Tables: []ecluse.Table{
			{
				Name: ecluse.TableName{Name: "analysis"}, Kind: ecluse.BaseTable, PrimaryKey: []string{"id"},
				Columns: []ecluse.Column{
					{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "bigint"},
					{Name: "code", Type: ecluse.Type{Kind: ecluse.Text}, Declared: "text"},
					{Name: "note", Type: ecluse.Type{Kind: ecluse.Text}, Declared: "text", Nullable: true},
					{Name: "made", Type: ecluse.Type{Kind: ecluse.Instant}, Declared: "timestamptz", HasDefault: true},
					{Name: "size", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "int", Generated: true},
				},
			},
			{Name: ecluse.TableName{Name: "codes"}, Kind: ecluse.BaseTable, Columns: []ecluse.Column{{Name: "code", Type: ecluse.Type{Kind: ecluse.Text}}}},
			{Name: ecluse.TableName{Name: "seen"}, Kind: ecluse.View, Columns: []ecluse.Column{{Name: "code", Type: ecluse.Type{Kind: ecluse.Text}, Nullable: true}}},
		},
		Sequences: []ecluse.Sequence{{Name: ecluse.TableName{Name: "analysis_id_seq"}, Increment: 1}},
	}
}

func shape() ecluse.Shape {
	analysis := ecluse.TableName{Name: "analysis"}
	return mandatetest.Complete(ecluse.Shape{
		Datasets: []ecluse.ShapeDataset{{
			Dataset: "result", Reads: []string{"result_id", "code"},
			Into: []ecluse.ShapeTable{{Table: analysis, Columns: []ecluse.ShapeColumn{
				{Column: "id", From: "result_id"}, {Column: "code", From: "code"},
			}}},
		}},
		Frozen:    []ecluse.ShapeFrozen{{Name: "translation", File: "t.csv", Digest: ecluse.DigestOf([]byte("t")), Key: []string{"code"}}},
		Sequences: []ecluse.ShapeSequence{{Sequence: ecluse.TableName{Name: "analysis_id_seq"}, Table: analysis, Column: "id"}},
		Checks: []ecluse.ShapeCheck{
			{Name: "dates", Table: analysis, First: "made", Last: "made"},
			{Name: "per_code", Table: analysis, Count: true, By: "code", Codes: "translation"},
		},
	}, target())
}
