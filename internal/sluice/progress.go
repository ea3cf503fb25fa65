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
	// Expected is how many rows the stage has in all, as far as can be told when
	// it begins; 0 when it cannot.
	Expected int64
	Bytes    int64 // of values read, or of ciphertext loaded
	Chunks   int
	Paused   bool // others are at work on the source's server
	Done     bool
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

// begin begins another stage, of so many rows; 0: nobody knows.
func (m *meter) begin(s Stage, expected int64) {
	m.stage, m.now = s, Progress{Expected: expected}
	m.tell(true)
}

// expect tells how many rows the stage has, once that is found out.
func (m *meter) expect(rows int64) {
	m.now.Expected = rows
	m.tell(true)
}

func (m *meter) at(d ecluse.DatasetID) { m.now.Dataset = d }

func (m *meter) chunk() { m.now.Chunks++ }

func (m *meter) pause(on bool) {
	m.now.Paused = on
	m.tell(true)
}

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
