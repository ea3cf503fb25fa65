package mapping

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
	"ecluse/internal/sluice/record"
)

// readFrozen reads a frozen table. A column whose every cell is a whole number
// written the one usual way is one of integers; an empty cell is null.
func readFrozen(name string, f *FrozenTable, b []byte, slot int) (*expr.Table, error) {
	rows, err := readCSV(f, b)
	if err != nil {
		return nil, err
	}
	header := rows[0]
	schema := &record.Schema{}
	for i, h := range header {
		typ, err := cellType(f.Types[h], i, rows[1:])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", h, err)
		}
		schema.Fields = append(schema.Fields, record.Field{Name: h, Type: ecluse.Type{Kind: typ}})
	}
	for column := range f.Types {
		if schema.Index(column) < 0 {
			return nil, fmt.Errorf("types: no column %s", column)
		}
	}
	if err := screenTable(header, rows[1:]); err != nil {
		return nil, err
	}
	t, err := expr.NewTable(name, schema, f.Key, len(rows), slot)
	if err != nil {
		return nil, err
	}
	t.UseAll()
	batch := record.NewBatch(schema, len(rows)-1)
	for _, row := range rows[1:] {
		for i, cell := range row {
			c := batch.Columns[i]
			switch {
			case cell == "":
				c.AppendNull()
			case schema.Fields[i].Type.Kind == ecluse.Int:
				n, _ := strconv.ParseInt(cell, 10, 64) // cellType has looked
				c.AppendInt(n)
			default:
				c.AppendString(cell)
			}
		}
	}
	t = t.Empty()
	return t, t.Fill(batch)
}

func readCSV(f *FrozenTable, b []byte) ([][]string, error) {
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(b))
	if f.Delimiter != "" {
		r.Comma, _ = utf8.DecodeRuneInString(f.Delimiter)
	}
	var rows [][]string
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if rows = append(rows, row); len(rows) > maxHeldRows {
			return nil, fmt.Errorf("more than %d rows", maxHeldRows)
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("no header line")
	}
	seen := map[string]bool{}
	for _, h := range rows[0] {
		if h == "" || strings.TrimSpace(h) != h || seen[h] {
			return nil, errors.New("header: every column needs a name of its own, without spaces around it")
		}
		seen[h] = true
	}
	return rows, nil
}

func cellType(declared string, column int, rows [][]string) (ecluse.DataKind, error) {
	if declared == "text" {
		return ecluse.Text, nil
	}
	cells := 0
	for i, row := range rows {
		c := row[column]
		if c == "" {
			continue
		}
		cells++
		n, err := strconv.ParseInt(c, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != c {
			if declared == "int" {
				return "", fmt.Errorf("line %d is not a whole number", i+2)
			}
			return ecluse.Text, nil
		}
	}
	if cells == 0 && declared == "" {
		return ecluse.Text, nil
	}
	return ecluse.Int, nil
}
