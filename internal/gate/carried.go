package gate

import (
	"fmt"
	"path/filepath"
	"time"

	"ecluse"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
)

// TakeDispatch judges, by the gate's own ledger, whether what was carried here is to be
// acted on: it is not old, nothing newer came before it, and what this gate answered last
// has reached the lock, or is lost, as whoever stands at its console says.
func (h *Home) TakeDispatch(d *exchange.Dispatch, lost bool) error {
	now, err := h.Latest() // erasing goes on while the clock is set back; what may not, is refused then
	if err != nil {
		return err
	}
	refuse := func(why, next string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "act on what was carried here", Where: fmt.Sprintf("dispatch %d", d.Number), Why: why, Next: next}
	}
	const anew = "where there is a line: ecluse carry out FOLDER, and carry it here anew"
	switch age := now.Sub(d.Made); {
	case age > exchange.DispatchLife:
		return refuse(fmt.Sprintf("it is %d hours old: what was suspended or objected to since would not be seen", age/time.Hour), anew)
	case age < -clockSlack: // a clock that is behind would have it young for longer
		return refuse(fmt.Sprintf("it was made at %s, and by this machine's clock that is still to come", d.Made.UTC().Format(time.RFC3339)), "set this machine's clock right, or the server's")
	}
	return h.locked(func(l *Ledger) error {
		switch last := l.Carried; {
		case d.Number < last.Number:
			return refuse(fmt.Sprintf("dispatch %d was here already", last.Number), anew)
		case lost:
		case d.Number == last.Number:
			return nil
		case last.Items > 0 && d.Came != last:
			return refuse(
				fmt.Sprintf("what this gate answered to dispatch %d has not reached the lock, or not all of it: it would be done twice", last.Number),
				"carry that in first (ecluse carry in FOLDER), then carry out anew; if it is lost, run this again with --lost",
			)
		}
		if err := h.forgetSaid(); err != nil {
			return err
		}
		l.Carried = exchange.Came{Number: d.Number}
		return h.save(l)
	})
}

// saidFile begins the names of files with what this gate says until it is signed, by
// dispatch.
const saidFile = "said-"

// Said is the path of what this gate said to a dispatch: in its own folder, for it signs
// what stands there.
func (h *Home) Said(number int64) string {
	return filepath.Join(h.dir, fmt.Sprintf("%s%06d", saidFile, number))
}

// forgetSaid removes what was said to earlier dispatches.
func (h *Home) forgetSaid() error {
	all, err := filepath.Glob(filepath.Join(h.dir, saidFile+"*"))
	if err != nil {
		return err
	}
	for _, path := range all {
		if err := durable.Remove(path); err != nil {
			return &ecluse.Error{Kind: ecluse.Failed, What: "forget what was said before", Where: filepath.Base(path), Err: pathless(err), Next: "give the user that runs ecluse the right to write the gate's folder"}
		}
	}
	return nil
}

// Returns notes how much the gate answered to a dispatch, before it can be carried away.
func (h *Home) Returns(number int64, items int) error {
	return h.locked(func(l *Ledger) error {
		l.Carried = exchange.Came{Number: number, Items: items}
		return h.save(l)
	})
}
