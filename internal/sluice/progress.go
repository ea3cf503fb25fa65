package sluice

import (
	"time"

	"ecluse"
)

// Stage of a passage, for whoever watches.
type Stage string

// The stages.
const (
	StageRead    Stage = "reading"
	StageLoad    Stage = "loading"
	StageCompare Stage = "comparing"
	StageTrace   Stage = "tracing"
	StageUndo    Stage = "undoing"
)

// Progress is one look at a passage under way. It holds counts only.
type Progress struct {
	Stage   Stage
	Dataset ecluse.DatasetID
	Rows    int64 // so far, in this stage
	Bytes   int64 // of values read, or of ciphertext loaded
	Chunks  int
	Done    bool
}

// Watch receives progress, some times a second. It must be quick. A nil Watch
// is nobody watching.
type Watch func(Progress)

// meter adds up and tells its watcher, at most every tick. It belongs to one
// goroutine.
type meter struct {
	watch Watch
	stage Stage
	now   Progress
	told  time.Time
}

const tick = 100 * time.Millisecond

func (m *meter) add(rows, bytes int64) {
	m.now.Rows += rows
	m.now.Bytes += bytes
	m.tell(false)
}

// begin begins another stage.
func (m *meter) begin(s Stage) {
	m.stage, m.now = s, Progress{}
	m.tell(true)
}

func (m *meter) at(d ecluse.DatasetID) { m.now.Dataset = d }

func (m *meter) chunk() { m.now.Chunks++ }

func (m *meter) done() {
	m.now.Done = true
	m.tell(true)
}

func (m *meter) tell(always bool) {
	if m.watch == nil || !always && time.Since(m.told) < tick {
		return
	}
	m.told = time.Now()
	m.now.Stage = m.stage
	m.watch(m.now)
}
