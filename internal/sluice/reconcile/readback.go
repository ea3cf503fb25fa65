package reconcile

import (
	"context"
	"encoding/json"
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
func ReadBack(ctx context.Context, sc reader.Scanner, keys Keys, tables []Table) (Sums, error) {
	sums := make(Sums, len(tables))
	for _, t := range tables {
		sum, err := readTable(ctx, sc, keys(t.Name), t)
		if err != nil {
			return nil, fmt.Errorf("read back %s: %w", t.Name, err)
		}
		sums[t.Name] = sum
	}
	return sums, nil
}

func readTable(ctx context.Context, sc reader.Scanner, key [32]byte, t Table) (Sum, error) {
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
		return err
	})
	return total, err
}

// Before is ReadBack as JSON: what writer.Session.Begin keeps in the target,
// taken in the passage's first transaction.
func Before(ctx context.Context, sc reader.Scanner, keys Keys, tables []Table) ([]byte, error) {
	sums, err := ReadBack(ctx, sc, keys, tables)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sums)
}

// ParseSums reads what Before wrote.
func ParseSums(b []byte) (Sums, error) {
	var s Sums
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the sums taken before", Err: err}
	}
	return s, nil
}
