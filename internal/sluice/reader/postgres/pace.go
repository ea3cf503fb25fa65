package postgres

import "ecluse/internal/sluice/reader"

// pace guesses how many blocks, or rows, hold as many rows and bytes as a chunk
// still wants, from those of it that were just read. It starts small with each
// chunk and grows by eight: where a chunk ends depends on nothing but where it
// begins, and a table whose values grow is noticed before they fill the memory.
type pace struct {
	first, most int64

	units, rows, bytes int64 // of the last step
}

const (
	firstBlocks = 16
	mostBlocks  = 1 << 17 // 1 GiB of a table that holds hardly any row
	firstRows   = reader.ChunkRows / 8
	growth      = 8
)

func newPace(blocks bool) pace {
	if blocks {
		return pace{first: firstBlocks, most: mostBlocks}
	}
	return pace{first: firstRows, most: reader.ChunkRows}
}

// saw notes what a step of so many units held.
func (p *pace) saw(units, rows, bytes int64) {
	p.units, p.rows, p.bytes = max(units, 1), rows, bytes
}

// next is how many units to read for at most so many rows and bytes.
func (p *pace) next(rows, bytes int64) int64 {
	if p.units == 0 {
		return p.first
	}
	n := min(p.units*growth, p.most)
	if p.rows > 0 {
		n = min(n, rows*p.units/p.rows)
	}
	if p.bytes > 0 {
		n = min(n, bytes*p.units/p.bytes)
	}
	return max(n, 1)
}
