package due

import "time"

// Slack is how far a clock may be corrected backwards without being called set
// back: what time synchronisation does in the ordinary.
const Slack = 2 * time.Minute

// Clock is the high-water clock, kept by the store between two looks at the
// machine's. It never goes back, and it goes on while the machine's clock is set
// back: no deadline is longer for it than the time between two looks.
type Clock struct {
	High   time.Time     // the latest time shown
	Behind time.Duration // what must be added to the machine's clock, since it was set back
}

// Look shows the clock the machine's time and returns the clock as it stands
// then; High is now. back is how far the machine's clock was found to have been
// set back since the last look, zero in the ordinary.
func (c Clock) Look(machine time.Time) (now Clock, back time.Duration) {
	machine = machine.Round(0).UTC()
	if !machine.Before(c.High) { // also: it has been set right again
		return Clock{High: machine}, 0
	}
	t := machine.Add(c.Behind)
	if back = c.High.Sub(t); back > 0 {
		if back <= Slack {
			return c, 0 // stands still until the machine's catches up
		}
		return Clock{High: c.High, Behind: c.High.Sub(machine)}, back
	}
	return Clock{High: t, Behind: c.Behind}, 0
}
