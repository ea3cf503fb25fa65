package gate

import (
	"fmt"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
)

// TakeDispatch judges, by the gate's own ledger, whether what was carried here is to be
// acted on: it is not old, nothing newer came before it, and what this gate answered last
// has reached the lock, or is lost, as whoever stands at its console says.
func (h *Home) TakeDispatch(d *exchange.Dispatch, lost bool) error {
	now, err := h.Now()
	if err != nil {
		return err
	}
	refuse := func(why, next string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "act on what was carried here", Where: fmt.Sprintf("dispatch %d", d.Number), Why: why, Next: next}
	}
	const anew = "where there is a line: ecluse carry out FOLDER, and carry it here anew"
	if age := now.Sub(d.Made); age > exchange.DispatchLife {
		return refuse(fmt.Sprintf("it is %d hours old: what was suspended or objected to since would not be seen", age/time.Hour), anew)
	}
	return h.locked(func(l *Ledger) error {
		switch last := l.Carried; {
		case d.Number == last.Number:
			return nil
		case d.Number < last.Number:
			return refuse(fmt.Sprintf("dispatch %d was here already", last.Number), anew)
		case last.Items > 0 && d.Came != last && !lost:
			return refuse(
				fmt.Sprintf("what this gate answered to dispatch %d has not reached the lock, or not all of it: it would be done twice", last.Number),
				"carry that in first (ecluse carry in FOLDER), then carry out anew; if it is lost, run this again with --lost",
			)
		}
		l.Carried = exchange.Came{Number: d.Number}
		return h.save(l)
	})
}

// Returns notes how much the gate answered to a dispatch, before it can be carried away.
func (h *Home) Returns(number int64, items int) error {
	return h.locked(func(l *Ledger) error {
		l.Carried = exchange.Came{Number: number, Items: items}
		return h.save(l)
	})
}
