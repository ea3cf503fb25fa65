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
		schema.Fields = append(schema.Fields, record.Field{Name: h, Type: typ})
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
			appendCell(batch.Columns[i], cell)
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

// appendCell adds a cell; cellType has seen that it is of the column's type.
func appendCell(c *record.Column, cell string) {
	switch t := c.Type(); {
	case cell == "":
		c.AppendNull()
	case record.Fixed(t.Kind):
		n, _ := expr.Decimal([]byte(cell), t.Scale)
		c.AppendInt(n)
	default:
		c.AppendString(cell)
	}
}

// cellType is the type of a column: the declared one, or by its cells.
func cellType(declared string, column int, rows [][]string) (ecluse.Type, error) {
	text, whole := ecluse.Type{Kind: ecluse.Text}, ecluse.Type{Kind: ecluse.Int}
	if declared == "text" {
		return text, nil
	}
	if declared == "decimal" {
		return decimalType(column, rows)
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
				return text, fmt.Errorf("line %d is not a whole number", i+2)
			}
			return text, nil
		}
	}
	if cells == 0 && declared == "" {
		return text, nil
	}
	return whole, nil
}

// decimalType has as many digits after the point as the cell with most.
func decimalType(column int, rows [][]string) (ecluse.Type, error) {
	t := ecluse.Type{Kind: ecluse.Decimal, Precision: 18}
	for _, row := range rows {
		_, frac, _ := strings.Cut(row[column], ".")
		t.Scale = max(t.Scale, len(frac))
	}
	for i, row := range rows {
		if _, ok := expr.Decimal([]byte(row[column]), t.Scale); !ok && row[column] != "" {
			return t, fmt.Errorf("line %d is not a decimal of at most 18 digits, such as 0.0113", i+2)
		}
	}
	return t, nil
}
