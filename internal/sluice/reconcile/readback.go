package reconcile

import (
	"context"
	"fmt"
	"sync"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// Keys gives each table's sub-key of K, use "rows".
type Keys func(ecluse.TableName) [32]byte

// ReadBack sums every row of the tables as they stand in the scanner's snapshot:
// the "before" of a passage, or the "after". Tables are read one after the other,
// each on as many connections as the scanner has; memory does not grow with rows.
// seen, if not nil, is told of each batch, one at a time.
func ReadBack(ctx context.Context, sc reader.Scanner, keys Keys, tables []Table, seen func(rows, bytes int)) (Sums, error) {
	sums := make(Sums, len(tables))
	for _, t := range tables {
		sum, err := readTable(ctx, sc, keys(t.Name), t, seen)
		if err != nil {
			return nil, fmt.Errorf("read back %s: %w", t.Name, err)
		}
		sums[t.Name] = sum
	}
	return sums, nil
}

func readTable(ctx context.Context, sc reader.Scanner, key [32]byte, t Table, seen func(rows, bytes int)) (Sum, error) {
	total := Sum{Table: t.Name}
	var mu sync.Mutex
	var free []*Summer // as many as there are goroutines
	err := sc.Scan(ctx, t.Name, t.Names(), func(b *record.Batch) error {
		if len(b.Columns) != len(t.Columns) {
			return fmt.Errorf("%d columns came back, %d were asked for", len(b.Columns), len(t.Columns))
		}
		var s *Summer
		mu.Lock()
		if n := len(free); n > 0 {
			s, free = free[n-1], free[:n-1]
		}
		mu.Unlock()
		if s == nil {
			s = NewSummer(t, key)
		}
		sum, err := s.SumBatch(b)
		mu.Lock()
		defer mu.Unlock()
		free = append(free, s)
		total = total.Add(sum)
		if seen != nil {
			seen(b.Rows(), b.Size())
		}
		return err
	})
	return total, err
}
