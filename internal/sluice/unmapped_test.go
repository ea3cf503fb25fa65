package sluice

import (
	"slices"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/reconcile"
)

// TestUnmapped: of a dataset that was read several times no part is missed when another
// came to something, and it is named once when none did.
func TestUnmapped(t *testing.T) {
	const patient, request ecluse.DatasetID = "patient", "request"
	l := Loaded{
		Opened: map[ecluse.DatasetID]reconcile.DatasetCount{
			patient: {Rows: 10}, patient.Changed(1): {Rows: 2}, patient.Changed(2): {Rows: 1},
			request: {Rows: 5}, request.Changed(2): {Rows: 1},
			"nobody": {},
		},
		Made: map[ecluse.DatasetID]int64{patient: 12},
	}
	if got := l.Unmapped(); !slices.Equal(got, []ecluse.DatasetID{request}) {
		t.Errorf("unmapped: %v", got)
	}
}

// TestScant: a dataset of which more than half was put aside was hardly tried; half is enough.
func TestScant(t *testing.T) {
	const patient, request ecluse.DatasetID = "patient", "request"
	l := Loaded{
		Opened: map[ecluse.DatasetID]reconcile.DatasetCount{patient: {Rows: 9}, patient.Changed(1): {Rows: 2}, request: {Rows: 10}},
		Report: &reconcile.Report{Rejected: []reconcile.Grouped{
			{Dataset: patient, By: "no name", Count: 4}, {Dataset: patient, By: "no sex", Count: 2}, {Dataset: request, By: "no code", Count: 5},
		}},
	}
	if got := l.Scant(); !slices.Equal(got, []ecluse.DatasetID{patient}) {
		t.Errorf("scant: %v", got)
	}
}
