package cli

import (
	"time"

	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// predicted says how long the passage is guessed to take, and what sets the pace.
func (u *ui) predicted(p *desk.Plans) {
	x := p.Predicted
	if x == nil {
		return
	}
	pace := map[exchange.Limit]string{
		exchange.ByDatabase: u.say("the databases set the pace", "les bases donnent le rythme"),
		exchange.ByLine:     u.say("the line sets the pace", "la ligne donne le rythme"),
		exchange.ByThrottle: u.say("the queries a second that the instruction grants set the pace", "les requêtes par seconde accordées par l'instruction donnent le rythme"),
	}[x.Limit]
	from := u.say("from estimates", "d'après des estimations")
	if x.Learned {
		from = u.say("from what was read already", "d'après ce qui a déjà été lu")
	}
	u.tell("about %s rows, %s sealed: reading %s, loading and proof %s; they overlap. %s (%s)",
		"environ %s lignes, %s scellés : lecture %s, chargement et preuve %s ; les deux se recouvrent. %s (%s)",
		count(x.Rows), size(x.Bytes), u.about(x.Read), u.about(x.Load), pace, from)
	if x.Window > 0 {
		u.text(u.paint(yellow, u.say("! the window is open for %s: each reads from the first row, and the reading would not come to its end. Have a longer window instructed, more queries a second, or fewer rows",
			"! la fenêtre est ouverte %s : chacune relit depuis la première ligne, et la lecture n'aboutirait pas. Faites instruire une fenêtre plus longue, plus de requêtes par seconde, ou moins de lignes",
			u.about(x.Window))) + "\n")
	}
}

// about writes a guessed time in seconds: no more of it than a guess can know.
func (u *ui) about(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case seconds == 0:
		return "–"
	case d < time.Minute:
		return u.say("under a minute", "moins d'une minute")
	case d < time.Hour:
		return u.say("about %d min", "environ %d min", int(d.Round(time.Minute).Minutes()))
	}
	return u.say("about %d h %02d", "environ %d h %02d", int(d.Hours()), int(d.Minutes())%60)
}
