package sluice

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/writer"
)

// trace finds the rows behind tables that do not compare equal: what was loaded is
// mapped once more and held against the target, in the snapshot of the comparison.
func (o *loader) trace(ctx context.Context, session writer.Session, s reader.Scanner, manifest *evidence.Manifest) error {
	tracers := map[ecluse.TableName]*reconcile.Tracer{}
	var tables []reconcile.Table
	for _, t := range o.tables {
		i := slices.IndexFunc(o.out.Report.Tables, func(r reconcile.TableResult) bool { return r.Table == t.Name })
		if i >= 0 && !o.out.Report.Tables[i].Equal && o.out.Report.Tables[i].Loaded > 0 {
			tables = append(tables, t)
		}
	}
	for _, t := range tables {
		tracers[t.Name] = reconcile.NewTracer(t, o.Key(t.Name), len(tables))
	}
	if len(tracers) == 0 {
		return nil
	}
	markers, err := session.Markers(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(markers, func(a, b writer.Marker) int { return a.Position - b.Position })
	run := <-o.runs
	defer func() { o.runs <- run }()
	o.meter.begin(StageTrace, 0) // some chunks, some times

	// look goes through what was loaded and through the target at the same time.
	look := func(at map[ecluse.TableName]*reconcile.Tracer, tell telling, scan func(context.Context, *reconcile.Tracer) error) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return o.retell(ctx, run, markers, manifest, at, tell) })
		g.Go(func() error {
			for _, t := range at {
				if err := scan(ctx, t); err != nil {
					return err
				}
			}
			return nil
		})
		return g.Wait()
	}
	err = look(tracers, func(t *reconcile.Tracer, _ reconcile.Origin, r writer.Rows) error { return t.Sum(r.Batch) },
		func(ctx context.Context, t *reconcile.Tracer) error { return t.SumTarget(ctx, s) })
	if err != nil {
		return err
	}
	for {
		some := map[ecluse.TableName]*reconcile.Tracer{}
		for n, t := range tracers {
			if t.Next() {
				some[n] = t
			}
		}
		if len(some) == 0 {
			break
		}
		err := look(some, func(t *reconcile.Tracer, from reconcile.Origin, r writer.Rows) error {
			return t.Expect(from, r.Batch, r.Source)
		},
			func(ctx context.Context, t *reconcile.Tracer) error { return t.Scan(ctx, s) })
		if err != nil {
			return err
		}
	}
	o.out.Report.TracedWhole = true
	for _, t := range tables {
		list, whole := tracers[t.Name].Differences()
		o.out.Report.Traced = append(o.out.Report.Traced, list...)
		o.out.Report.TracedWhole = o.out.Report.TracedWhole && whole
	}
	return nil
}

// telling is told what a chunk wrote in a table.
type telling func(*reconcile.Tracer, reconcile.Origin, writer.Rows) error

// retell maps the loaded chunks that wrote in some tables once more, and tells
// what they wrote there.
func (o *loader) retell(ctx context.Context, run *mapping.Run, markers []writer.Marker, manifest *evidence.Manifest, tables map[ecluse.TableName]*reconcile.Tracer, tell telling) error {
	first := map[ecluse.Slot]int64{}
	for _, d := range manifest.Datasets {
		rows := int64(0)
		for _, c := range d.Chunks {
			first[c.Slot] = rows
			rows += c.Rows
		}
	}
	counters := o.before.start(o.Program)
	for _, m := range markers {
		before := counters
		counters = m.Counters
		wrote := false
		for t := range tables {
			wrote = wrote || m.Rows[t] > 0
		}
		if !wrote {
			continue
		}
		chunk, err := o.again(ctx, run, &m, before)
		if err != nil {
			return err
		}
		from := reconcile.Origin{Dataset: m.Slot.Dataset, First: first[m.Slot]}
		for _, r := range chunk.Tables {
			if t := tables[r.Table]; t != nil {
				if err := tell(t, from, r); err != nil {
					return err
				}
			}
		}
		o.meter.at(m.Slot.Dataset)
		o.meter.add(int64(chunk.Rows), 0)
	}
	return nil
}
