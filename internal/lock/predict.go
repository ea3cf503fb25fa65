package lock

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
)

// What is usual, where nothing of this migration is known yet: a gate on two cores
// beside its database (docs/explanation/performance.md), a row of results sealed.
const (
	usualRead    = 200_000.0 // rows a second
	usualLoad    = 130_000.0 // rows a second, read-back included; no hour of the night comes from it
	usualRow     = 40.0      // bytes of ciphertext
	rowsPerQuery = 65_536.0  // a chunk is one query, at least
)

// measured remembers what a gate measured of its way here.
func (l *Lock) measured(gate ecluse.Fingerprint, a *exchange.Answer) {
	var x exchange.Line
	if json.Unmarshal(a.Papers[exchange.PaperLine], &x) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[gate] = x
}

func (l *Lock) way(gate ecluse.Fingerprint) exchange.Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[gate]
}

// predict guesses how long the passage will take: by what was read already, else by
// the source's own estimates; by the slower of database and line, and of the queries a
// second that the instruction grants.
func (l *Lock) predict(ctx context.Context, i *mandate.Instruction, p *exchange.Plans) (*exchange.Prediction, error) {
	x := &exchange.Prediction{Limit: exchange.ByDatabase}
	held, err := l.held(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	manifest, err := l.chamber.Manifest(i.ID)
	if err != nil {
		return nil, err
	}
	row := usualRow
	for _, d := range held {
		x.Rows += d.Rows
		x.Bytes += d.Size
	}
	switch {
	case manifest != nil: // all of it is here
		x.Learned = true
	case x.Rows > 0:
		row, x.Learned = float64(x.Bytes)/float64(x.Rows), true
		fallthrough
	default:
		x.Rows = 0
		for _, n := range p.Estimates {
			x.Rows += n
		}
		x.Bytes = int64(float64(x.Rows) * row)
	}
	if x.Rows == 0 {
		return nil, nil
	}
	if manifest == nil {
		x.Read = float64(x.Rows) / usualRead
		if up := l.way(i.Source.Gate).Up; up > 0 && float64(x.Bytes)/up > x.Read {
			x.Read, x.Limit = float64(x.Bytes)/up, exchange.ByLine
		}
		if q := float64(i.Limits.QueriesPerSecond); q > 0 && math.Ceil(float64(x.Rows)/rowsPerQuery)/q > x.Read {
			x.Read, x.Limit = math.Ceil(float64(x.Rows)/rowsPerQuery)/q, exchange.ByThrottle
		}
	}
	if w, err := mandate.ParseWindow(i.Limits.Window); err == nil && w.Length() > 0 && x.Read > w.Length().Seconds() {
		x.Window = w.Length().Seconds()
	}
	if p.Load != nil {
		perRow, err := l.slowestLoad(ctx, i.ID)
		if err != nil {
			return nil, err
		}
		if x.Measured = perRow > 0; x.Measured {
			x.Load = float64(x.Rows) * perRow
			return x, nil
		}
		x.Load = float64(x.Rows) / usualLoad
		if down := l.way(i.Target.Gate).Down; down > 0 {
			x.Load = max(x.Load, float64(x.Bytes)/down)
		}
	}
	return x, nil
}

// slowestLoad is how many seconds a row took in the slowest rehearsal or load of a
// migration that came to its end; 0: none has. What counts is from when the target gate was
// asked until it answered, each time: neither the days between two runs nor those until a
// catch-up, which loads what changed alone.
func (l *Lock) slowestLoad(ctx context.Context, m ecluse.MigrationID) (float64, error) {
	all, err := l.store.WorkOf(ctx, m) // in the order it was asked
	if err != nil {
		return 0, err
	}
	type load struct {
		reading int // that the passage began with
		took    time.Duration
	}
	loads := map[string]load{}
	for i := range all {
		var w exchange.Work
		if all[i].Verb != string(exchange.Load) || all[i].Ended.IsZero() {
			continue
		}
		if err := json.Unmarshal(all[i].Text, &w); err != nil {
			return 0, err
		}
		x, ok := loads[w.Passage.String()]
		if !ok {
			x.reading = w.Reading
		}
		if w.Reading == x.reading {
			x.took += all[i].Ended.Sub(all[i].Asked)
		}
		loads[w.Passage.String()] = x
	}
	leaves, err := l.store.LeavesOf(ctx, string(m), string(journal.PassageEnded))
	if err != nil {
		return 0, err
	}
	slowest := 0.0
	seen := map[string]bool{}
	for _, x := range leaves {
		p := x.IDs["passage"]
		rows := x.Numbers["rows_read"]
		if seen[p] || rows <= 0 || strings.HasPrefix(p, string(ecluse.Dry)+"-") { // a dry run writes nothing
			continue
		}
		seen[p] = true // what ends later is a catch-up
		slowest = max(slowest, loads[p].took.Seconds()/float64(rows))
	}
	return slowest, nil
}
