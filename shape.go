package ecluse

import (
	"strings"
	"unicode"
)

// Shape is what a checked mapping reads and writes: all that a load plan needs
// to know of it. It is deterministic: equal inputs give equal shapes.
type Shape struct {
	Mapping   Digest          `json:"mapping"`
	Frozen    []ShapeFrozen   `json:"frozen,omitempty"`    // sorted by name
	Held      []ShapeHeld     `json:"held,omitempty"`      // sorted by dataset
	Targets   []ShapeTarget   `json:"targets,omitempty"`   // sorted by name
	Order     []DatasetID     `json:"order"`               // lookups and foreign keys decide, then the mapping's own order
	Datasets  []ShapeDataset  `json:"datasets"`            // in Order
	Sequences []ShapeSequence `json:"sequences,omitempty"` // sorted by sequence
	Checks    []ShapeCheck    `json:"checks,omitempty"`    // sorted by name
}

// ShapeFrozen is a table of codes signed with the mapping.
type ShapeFrozen struct {
	Name   string   `json:"name"`
	File   string   `json:"file"`
	Digest Digest   `json:"sha256"`
	Key    []string `json:"key"`
}

// ShapeHeld is a dataset kept whole in memory for look-ups.
type ShapeHeld struct {
	Dataset DatasetID `json:"dataset"`
	Key     []string  `json:"key"`
	Rows    int       `json:"rows"` // ceiling
}

// ShapeTarget is a table of the target that codes are looked up in, frozen by
// the load plan.
type ShapeTarget struct {
	Name    string    `json:"name"`
	Table   TableName `json:"table"`
	Columns []string  `json:"columns"` // the key's among them
	Key     []string  `json:"key"`
	Rows    int       `json:"rows"` // ceiling
}

// ShapeDataset is what happens to one dataset.
type ShapeDataset struct {
	Dataset DatasetID    `json:"dataset"`
	Reads   []string     `json:"reads"` // columns used, in the dataset's order
	Into    []ShapeTable `json:"into"`  // in the order they are written
	Skip    string       `json:"skip,omitempty"`
	Rejects []string     `json:"rejects,omitempty"` // reasons the mapping itself may give
}

// ShapeTable is one target table written from one dataset.
type ShapeTable struct {
	Table    TableName     `json:"table"`
	Each     string        `json:"each,omitempty"`    // the list that makes several rows of one
	Let      []string      `json:"let,omitempty"`     // names that the expressions use
	Skip     string        `json:"skip,omitempty"`    // rows not wanted in this table
	Rejects  []ShapeReject `json:"rejects,omitempty"` // source rows put aside
	Counter  string        `json:"counter,omitempty"` // the column numbered by a counter, if any
	Columns  []ShapeColumn `json:"columns"`           // as the mapping lists them
	KeyWrite bool          `json:"key_written"`       // every column of the primary key is written
}

// ShapeReject is a condition under which a source row is put aside.
type ShapeReject struct {
	When   string `json:"when"` // the expression, as the mapping writes it
	Reason string `json:"reason"`
}

// ShapeColumn is one written column.
type ShapeColumn struct {
	Column string `json:"column"`
	Type   Type   `json:"type"` // of the target column
	From   string `json:"from"` // the expression, as the mapping writes it
}

// ShapeSequence is a sequence moved past the highest value of a column, last.
type ShapeSequence struct {
	Sequence TableName `json:"sequence"`
	Table    TableName `json:"table"`
	Column   string    `json:"column"`
}

// ShapeCheck is the target's half of a cross-check: the same figure as the
// instruction's check of that name, counted in the target without the mapping's code.
type ShapeCheck struct {
	Name  string    `json:"name"`
	Table TableName `json:"table"`
	Count bool      `json:"count,omitempty"`
	Sum   string    `json:"sum,omitempty"`   // an exact column
	First string    `json:"first,omitempty"` // smallest of a date, time or number
	Last  string    `json:"last,omitempty"`  // largest
	By    string    `json:"by,omitempty"`    // one line per value of this column
	Minus int64     `json:"minus,omitempty"` // taken off By before it is compared (ids that were moved up)
	Codes string    `json:"codes,omitempty"` // frozen table that turns By back into the source's code
	Where []ShapeEq `json:"where,omitempty"` // all must hold
}

// ShapeEq is "column equals value", or "is null" when Null, or an integer range.
type ShapeEq struct {
	Column string `json:"column"`
	Equals string `json:"equals,omitempty"`
	Null   *bool  `json:"null,omitempty"`
	From   *int64 `json:"from,omitempty"`   // ≥
	Before *int64 `json:"before,omitempty"` // <
}

// OneLine folds the blanks of an expression that is shown in one line, and none of those
// between quotes: they are part of what it says. One with escapes or comments, whose quotes
// are harder to tell, stays as it is written.
func OneLine(expr string) string {
	if strings.Contains(expr, `\`) || strings.Contains(expr, "//") || strings.Contains(expr, "'''") || strings.Contains(expr, `"""`) {
		return expr
	}
	var b strings.Builder
	var quote rune
	blank := false
	for _, r := range strings.TrimSpace(expr) {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case unicode.IsSpace(r):
			blank = true
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
