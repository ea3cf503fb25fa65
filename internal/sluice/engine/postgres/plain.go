package postgres

import (
	"encoding/hex"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// textRow appends a row as COPY's text form: values between tabs, \N for NULL,
// backslashes before what would end a value.
func (e *Encoder) textRow() {
	for i := range e.copier.fields {
		if i > 0 {
			e.buf = append(e.buf, '\t')
		}
		c := e.batch.Columns[i]
		switch {
		case c.Null(e.row):
			e.buf = append(e.buf, `\N`...)
		case c.Type().Kind == ecluse.Text || c.Type().Kind == ecluse.Number:
			e.buf = appendEscaped(e.buf, c.Bytes(e.row))
		case c.Type().Kind == ecluse.Bytes:
			e.buf = hex.AppendEncode(append(e.buf, `\\x`...), c.Bytes(e.row))
		default:
			e.buf = record.AppendPlain(e.buf, c, e.row)
		}
	}
	e.buf = append(e.buf, '\n')
}

func appendEscaped(out, v []byte) []byte {
	for _, c := range v {
		switch c {
		case '\\':
			out = append(out, '\\', '\\')
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, c)
		}
	}
	return out
}
