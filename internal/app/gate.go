package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/client"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/wire"
	"ecluse/internal/words"
)

// EnrolRequest is all that a gate is told at its own console.
type EnrolRequest struct {
	Dir      string
	Place    exchange.Place
	Line     *config.Context // server, laboratory, pin, the lock's key and both roots
	Roots    config.Roots    // as somebody knew them already; what is not empty must agree with the line
	System   string
	StandsAt string
	Machine  []ecluse.Side
	Database []ecluse.Side
	Carried  string // the folder that is carried, of a gate that no line reaches; empty: it has one
}

// Enrolled is what a gate now believes, for comparison, and the words it shows.
type Enrolled struct {
	Dir        string             `json:"dir"`
	Gate       ecluse.Fingerprint `json:"gate"`
	Place      exchange.Place     `json:"place"`
	Server     string             `json:"server"`
	Laboratory string             `json:"laboratory"`
	Pin        ecluse.Digest      `json:"pin"`
	Lock       ecluse.Fingerprint `json:"lock"`
	Roots      config.Roots       `json:"roots"`
	Paper      ecluse.Digest      `json:"paper"`
	English    string             `json:"words_en"`
	French     string             `json:"words_fr"`
}

// Enrol makes a gate's folder, has the gate say and sign what it is, and hands that
// in. Run again after any interruption it goes on; it never makes a second key.
func Enrol(ctx context.Context, q EnrolRequest) (*Enrolled, error) {
	if err := agree(q); err != nil {
		return nil, err
	}
	h, err := homeFor(q)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(q.Dir)
	if err != nil {
		return nil, err
	}
	if c.Server != q.Line.Server || c.Laboratory != q.Line.Laboratory || c.Pin != q.Line.Pin {
		return nil, &ecluse.Error{
			Kind: ecluse.Differs, What: enrolling, Where: filepath.Join(q.Dir, config.FileName), Why: "it names another server, laboratory or pin than the line",
			Next: "find out which is right; correct the file, or take the right line",
		}
	}
	says := mandate.Gate{
		Place: evidence.Gate(q.Place), System: q.System, StandsAt: q.StandsAt,
		Machine: mandate.Administrators(q.Machine), Database: mandate.Administrators(q.Database),
	}
	var g *mandate.Gate
	if q.Carried != "" {
		g, err = carryPaper(h, says, q.Carried)
	} else {
		g, err = handIn(ctx, c, h, says)
	}
	if err != nil {
		return nil, err
	}
	phrase, err := desk.GatePhrase(g)
	if err != nil {
		return nil, err
	}
	return &Enrolled{
		Dir: q.Dir, Gate: h.Fingerprint(), Place: q.Place, Server: c.Server, Laboratory: c.Laboratory, Pin: c.Pin, Lock: g.Lock,
		Roots: config.Roots{Controller: g.Roots.Controller, Processor: g.Roots.Processor}, Paper: ecluse.DigestOf(g.Bytes()),
		English: phrase.Text(words.English), French: phrase.Text(words.French),
	}, nil
}

const enrolling = "enrol the gate"

// handIn has the gate say what it is, and the lock take it. A paper that is over
// there is written anew.
func handIn(ctx context.Context, c *config.Gate, h *gate.Home, says mandate.Gate) (*mandate.Gate, error) {
	o, err := reach(c, h)
	if err != nil {
		return nil, err
	}
	for _, anew := range []bool{false, true} {
		g, signed, err := h.Describe(says, anew)
		if err != nil {
			return nil, err
		}
		err = client.Enrol(ctx, o, h.Lock(), signed)
		if errors.Is(err, exchange.ErrLapsed) && !anew {
			continue
		}
		if err != nil {
			return nil, err
		}
		return g, nil
	}
	return nil, &ecluse.Error{Kind: ecluse.Refused, What: enrolling, Where: c.Laboratory, Why: "the server takes no paper of this gate", Err: exchange.ErrLapsed}
}

// agree holds the roots that whoever stands at the gate's console gives against those of
// the line. A line comes from where the server is: alone it makes no gate believe anybody.
func agree(q EnrolRequest) error {
	for _, r := range []struct {
		flag        string
		given, line ecluse.Fingerprint
	}{{"--controller", q.Roots.Controller, q.Line.Roots.Controller}, {"--processor", q.Roots.Processor, q.Line.Roots.Processor}} {
		switch {
		case r.given == "":
			return &ecluse.Error{
				Kind: ecluse.Invalid, What: enrolling, Where: r.flag, Why: "it is missing: the line alone is the server's word for whom this gate is to believe", Article: "GDPR art. 28(3)",
				Next: "have that party read the fingerprint of its root key out by telephone, on a number you knew before, and give it: " + r.flag + " SHA256:…",
			}
		case r.given != r.line:
			return &ecluse.Error{
				Kind: ecluse.Differs, What: enrolling, Where: r.flag, Why: "it is " + string(r.given) + ", and the line says " + string(r.line),
				Next: "do not go on before both are compared with that party, by telephone", Article: "GDPR art. 28(3)",
			}
		}
	}
	return nil
}

// homeFor opens the gate's folder, or makes it whole.
func homeFor(q EnrolRequest) (*gate.Home, error) {
	roots := map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: q.Line.Roots.Controller, ecluse.Processor: q.Line.Roots.Processor}
	entries, err := os.ReadDir(q.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: enrolling, Where: q.Dir, Why: "it is no folder that can be read", Next: "name a new folder"}
	}
	if len(entries) == 0 {
		err := durable.Whole(q.Dir, func(dir string) error {
			if _, err := gate.CreateHome(dir, "ecluse "+string(q.Place)+" gate", roots, q.Line.Lock, false); err != nil {
				return err
			}
			return durable.CreateFile(filepath.Join(dir, config.FileName), []byte(config.ExampleFor(q.Line.Server, q.Line.Laboratory, q.Line.Pin)))
		})
		var known *ecluse.Error
		if err != nil && !errors.As(err, &known) {
			err = &ecluse.Error{Kind: ecluse.Failed, What: enrolling, Where: q.Dir, Err: err, Next: "nothing was left behind: name a folder on a disk with room, that you may write"}
		}
		if err != nil {
			return nil, err
		}
	}
	h, err := gate.OpenHome(q.Dir)
	if err != nil {
		return nil, err
	}
	if h.Lock() != q.Line.Lock || h.Roots()[ecluse.Controller] != roots[ecluse.Controller] || h.Roots()[ecluse.Processor] != roots[ecluse.Processor] {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: enrolling, Where: q.Dir, Why: "this gate was made for other roots, or another lock, than the line's",
			Next: "name another folder: a gate believes for good what it was told first",
		}
	}
	return h, nil
}

// reach is the way from a gate to its lock.
func reach(c *config.Gate, h *gate.Home) (client.Options, error) {
	o := client.Options{Options: wire.Options{Pin: wire.Pin(c.Pin), Gate: h.Signer()}, Server: c.Server, Laboratory: c.Laboratory, Agent: Tool()}
	proxy, err := c.ProxyURL()
	if err == nil && proxy != nil {
		o.Proxy = proxy.String()
	}
	return o, err
}

// gateAt is a gate's folder and what its configuration says of its server.
func gateAt(dir string) (*gate.Home, exchange.Place, *config.Gate, error) {
	h, err := gate.OpenHome(dir)
	if err != nil {
		return nil, "", nil, err
	}
	c, err := config.Load(dir)
	if err != nil {
		return nil, "", nil, err
	}
	if !c.Remote() {
		return nil, "", nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "open gate", Where: filepath.Join(dir, config.FileName), Why: "it names no server",
			Next: "ecluse gate enrol DIR writes one that does; or add server, laboratory and pin",
		}
	}
	at, err := h.Place()
	return h, at, c, err
}

// OpenGate opens a gate's folder for what is done at its own console.
func OpenGate(dir string) (*Beside, error) {
	h, at, c, err := gateAt(dir)
	if err != nil {
		return nil, err
	}
	o, err := reach(c, h)
	if err != nil {
		return nil, err
	}
	l, err := client.NewGate(o)
	if err != nil {
		return nil, err
	}
	return &Beside{dir: dir, place: at, home: h, lock: l}, nil
}

// Place is the database that the gate stands beside.
func (b *Beside) Place() exchange.Place { return b.place }

// RunOptions say how a gate runs.
type RunOptions struct {
	Once bool             // do what is wanted now, and end
	Tell func(gate.Doing) // of what it does; may be nil
}

// runLock is held by the process that runs a gate.
const runLock = "run.lock"

// RunGate carries out what the lock asks of a gate, until ctx ends; that is no error.
// Two processes never run the same gate.
func RunGate(ctx context.Context, dir string, o RunOptions) (err error) {
	b, err := OpenGate(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	held, err := claimGate(dir)
	if err != nil {
		return err
	}
	defer held.Close()
	run := gate.Run
	if o.Once {
		run = gate.RunOnce
	}
	tell := o.Tell
	if tell == nil {
		tell = func(gate.Doing) {}
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { gate.WatchKept(watching, b.home, b.lock, tell) })
	if o.Tell != nil && !o.Once {
		watch.Go(func() { gate.WatchDeadlines(watching, b.home, b.lock, o.Tell) })
	}
	defer func() { stop(); watch.Wait() }()
	err = run(ctx, b.lock, b.work, o.Tell)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// claimGate makes this process the one that runs a gate.
func claimGate(dir string) (*os.File, error) {
	f, err := claimFile(filepath.Join(dir, runLock))
	if err == nil {
		return f, nil
	}
	e := &ecluse.Error{Kind: ecluse.Failed, What: "run the gate", Where: dir, Err: err, Next: "give the user that runs ecluse the right to write the gate's folder, on a disk of its own machine"}
	if errors.Is(err, durable.ErrHeld) {
		e.Kind, e.Err, e.Why, e.Next = ecluse.Refused, nil, "another process runs it already", "end that one first: one gate is one process"
	}
	return nil, e
}
