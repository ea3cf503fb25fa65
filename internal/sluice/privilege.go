package sluice

import (
	"fmt"
	"slices"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
)

// withinPlan refuses an account that can read, or change, more than the signed
// plan says. That it may read everything says nothing of changing: only where the
// engine has no accounts is there nothing to hold it to.
func withinPlan(plan *mandate.ReadPlan, may *reader.Privileges) error {
	refuse := func(why, next string) error {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "check the account " + may.Account, Why: why, Article: "GDPR art. 29", Next: next,
		}
	}
	all := slices.Contains(plan.MayAlsoRead, "all")
	switch {
	case may.Whole && !all:
		return refuse("this kind of source lets everything be read and the instruction does not say so",
			"the instruction needs accounts.source: {may_also_read: all, because: …}")
	case may.Whole:
		return nil
	case may.Superuser:
		return refuse("it is a superuser, which no grant limits", "use the account that `ecluse gate grants DIR read` makes")
	case len(may.Writable) > 0:
		return refuse(fmt.Sprintf("it can change %d tables of the source, the first %s", len(may.Writable), may.Writable[0]),
			"use the account that `ecluse gate grants DIR read` makes")
	}
	if all {
		return nil
	}
	if excess := excess(plan, may); len(excess) > 0 {
		return refuse(fmt.Sprintf("it can read %d columns that are not instructed, the first %s", len(excess), excess[0]),
			"revoke what `ecluse gate grants DIR read` did not grant, or have the controller sign why it may stay (accounts.source)")
	}
	return nil
}

// excess lists what the account can read beyond the plan, as table.column.
func excess(plan *mandate.ReadPlan, may *reader.Privileges) []string {
	allowed := map[string]bool{}
	for _, a := range plan.MayAlsoRead {
		allowed[a] = true
	}
	views := map[string]bool{}
	for _, d := range plan.Datasets {
		if d.View != "" {
			views[d.View] = true
		}
	}
	for _, t := range plan.Verdicts {
		for _, c := range t.Columns {
			if c.Verdict == mandate.Taken || c.Verdict == mandate.Filtered {
				allowed[t.Table.String()+"."+c.Column] = true
			}
		}
	}
	var more []string
	for table, columns := range may.Readable {
		if views[table.String()] {
			continue
		}
		for _, c := range columns {
			if name := table.String() + "." + c; !allowed[name] {
				more = append(more, name)
			}
		}
	}
	slices.Sort(more)
	return more
}
