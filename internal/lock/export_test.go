package lock

import (
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
)

// NextAt is what a migration that stands somewhere waits for, its report equal or
// not, rows put aside for some reasons.
func NextAt(p procedure.Place, equal bool, aside ...string) []exchange.Next {
	return next("a-migration", p, known{equal: equal, aside: aside})
}
