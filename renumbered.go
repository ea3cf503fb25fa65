package ecluse

// Renumbering says which tables' rows a pass gave other numbers than the pass before.
// It names columns and chunks, which the plan and the manifest name too, and counts
// nothing.
type Renumbering struct {
	Since       Passage      `json:"since,omitzero"` // the last pass before that went through every chunk
	SameMapping bool         `json:"same_mapping"`   // as that pass had: then the source was read again in between, or the target is fuller
	Lost        bool         `json:"lost,omitempty"` // what passes before numbered is not known any more: nothing is compared
	Tables      []Renumbered `json:"tables"`         // by name; empty: every row has the number that it had
	// Also is the same of passes before that one which numbered otherwise too: what they
	// numbered was looked at, and a pass that is repeated makes it no less true.
	Also []Renumbering `json:"also,omitempty"`
}

// Renumbered is a column that a counter numbers otherwise than it did.
type Renumbered struct {
	Table  TableName `json:"table"`
	Column string    `json:"column"`
	From   Slot      `json:"from"`           // the first chunk with such a row; earlier ones kept their numbers
	Base   bool      `json:"base,omitempty"` // the counter begins elsewhere: all its numbers moved
}
