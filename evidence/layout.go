package evidence

// Gate is one of the two gates, by its end of the passage.
type Gate string

// The gates.
const (
	SourceGate Gate = "source"
	TargetGate Gate = "target"
)
