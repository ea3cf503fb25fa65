// Package faults is a campaign: it lets one thing go wrong at a random moment of a
// passage, a catch-up or an undoing, some hundred times over, lets whoever sits before it go on, and looks at
// what it came to. It is all in its tests; `make faults` runs it, and writes
// docs/explanation/faults.md.
//
// Writes are made to fail by a tracer (ptrace) that stands between the program and
// the kernel: what suffers is the program as it is delivered, SQLite included, and
// it has no seam for it.
package faults
