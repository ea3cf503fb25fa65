package mysql

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
)

// textBytes is any value's exact text as bytes, to be compared with others.
func textBytes(c string) string {
	return "CAST(CAST(" + c + " AS CHAR CHARACTER SET utf8mb4) AS BINARY)"
}

// valueExpr is what a column is selected as: exactly what Append decodes.
func (d declared) valueExpr(c string, asText bool) string {
	switch {
	case d.base == "float" && asText:
		return "CAST(" + c + " * 1e0 AS CHAR CHARACTER SET utf8mb4)"
	case d.base == "float": // as itself it would be cut to six digits
		return c + " * 1e0"
	case d.text() && d.utf8Bytes() && d.charset != "utf8mb4" && d.base != "json":
		return "CAST(" + c + " AS BINARY)" // as stored: a conversion would turn bad bytes into question marks
	case d.text() && !d.utf8Bytes() && !d.total():
		return "CONVERT(" + c + " USING utf8mb4)"
	case d.base == "bit" && asText:
		return "CAST(" + c + " + 0 AS CHAR CHARACTER SET utf8mb4)"
	case !d.known(), asText && (d.integer() || d.Type().Kind == ecluse.Float):
		return "CAST(" + c + " AS CHAR CHARACTER SET utf8mb4)"
	}
	return c
}

// intactExpr tells whether the server's conversion of a text to UTF-8 can be
// turned back; empty where it always can.
func (d declared) intactExpr(c string) string {
	if !d.text() || d.utf8Bytes() || d.total() {
		return ""
	}
	return "CAST(CONVERT(CONVERT(" + c + " USING utf8mb4) USING " + d.charset + ") AS BINARY) <=> CAST(" + c + " AS BINARY)"
}

// orderExpr is what a column is ordered and compared by: whole numbers as such,
// by their index, everything else by bytes.
func (d declared) orderExpr(c string) string {
	switch {
	case d.integer(), d.binary():
		return c
	case d.text() && d.utf8Bytes():
		return "CAST(" + c + " AS BINARY)"
	case d.base == "bit":
		return "CAST(" + c + " + 0 AS BINARY)"
	case d.base == "float":
		return "CAST(CAST(" + c + " * 1e0 AS CHAR CHARACTER SET utf8mb4) AS BINARY)"
	}
	return textBytes(c)
}

var numeric = regexp.MustCompile(`^-?[0-9]{1,65}(\.[0-9]{1,38})?$`)

// conditions writes the conditions on one table, all of which must hold.
func conditions(d *mandate.ReadDataset, alias string) ([]string, error) {
	var all []string
	for i := range d.Where {
		w := &d.Where[i]
		c, literal := condition(d, w, alias)
		wrong := func(value string) error {
			return &ecluse.Error{
				Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(d.Dataset), Where: "where " + w.Column,
				Why: strconv.Quote(value) + " is not a value that a " + w.Type.String() + " column can be compared with",
			}
		}
		add := func(op, value string) error {
			l, ok := literal(value)
			if !ok {
				return wrong(value)
			}
			all = append(all, c+op+l)
			return nil
		}
		if w.From != "" {
			if err := add(" >= ", w.From); err != nil {
				return nil, err
			}
		}
		if w.Before != "" {
			if err := add(" < ", w.Before); err != nil {
				return nil, err
			}
		}
		if len(w.In) > 0 {
			list := make([]string, len(w.In))
			for i, v := range w.In {
				l, ok := literal(v)
				if !ok {
					return nil, wrong(v)
				}
				list[i] = l
			}
			all = append(all, c+" IN ("+strings.Join(list, ", ")+")")
		}
		if w.NotNull {
			all = append(all, alias+"."+name(w.Column)+" IS NOT NULL")
		}
	}
	return all, nil
}

// condition is how a filtering column is compared: its expression and how a
// value is written. The column need not travel, so that only its kind is known.
func condition(d *mandate.ReadDataset, w *mandate.ReadCondition, alias string) (expr string, literal func(string) (string, bool)) {
	c := alias + "." + name(w.Column)
	switch w.Type.Kind {
	case ecluse.Int, ecluse.Decimal, ecluse.Number:
		if col, ok := columnOf(d, w.Column); !ok || col.base == "year" || col.base == "bit" {
			c += " + 0" // else 15 would be the year 2015
		}
		return c, func(v string) (string, bool) { return v, numeric.MatchString(v) }
	case ecluse.Float:
		return c, func(v string) (string, bool) {
			f, err := strconv.ParseFloat(v, 64)
			return strconv.FormatFloat(f, 'e', -1, 64), err == nil && f-f == 0
		}
	case ecluse.Date:
		return c, timeLiteral(time.DateOnly, time.DateOnly)
	case ecluse.Timestamp:
		return c, timeLiteral("2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly)
	case ecluse.Instant: // not by its text: inside a view that would depend on the session's time zone
		return "UNIX_TIMESTAMP(" + c + ")", unixLiteral
	case ecluse.Time:
		return c, func(v string) (string, bool) {
			_, ok := parseTime([]byte(v))
			return "'" + v + "'", ok
		}
	case ecluse.Text:
		return textBytes(c), func(v string) (string, bool) { return bytesLiteral(v), true }
	}
	return c, func(string) (string, bool) { return "", false }
}

func timeLiteral(write string, read ...string) func(string) (string, bool) {
	return func(v string) (string, bool) {
		for _, layout := range read {
			if t, err := time.Parse(layout, v); err == nil {
				return "'" + t.Format(write) + "'", true
			}
		}
		return "", false
	}
}

func unixLiteral(v string) (string, bool) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, v); err == nil {
			return strconv.FormatInt(t.Unix(), 10) + "." + strconv.Itoa(1000000 + t.Nanosecond()/1000)[1:], true
		}
	}
	return "", false
}

// columnOf finds how a column of a dataset is declared, if it travels.
func columnOf(d *mandate.ReadDataset, column string) (declared, bool) {
	for i := range d.Columns {
		if d.Columns[i].Name == column {
			return parseDeclared(d.Columns[i].Declared), true
		}
	}
	return declared{}, false
}
