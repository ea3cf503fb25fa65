package gate

// For tests of what no database or server is needed for.
var (
	UnlessHeld = (*Home).unlessHeld
	HoldFile   = holdFile
)
