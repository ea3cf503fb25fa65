package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/gate"
)

type gateRejectsCmd struct {
	inGate
	carriedTo
	which
	as
	Passage string   `help:"${rejects_passage}" placeholder:"KIND-N"`
	By      string   `help:"${rejects_by}" enum:"row,shape" default:"row"`
	Free    rowNamed `name:"release" help:"${rejects_release}" placeholder:"DATASET:ROW"`
}

// rowNamed is a row of a dataset, as the screen of rows put aside numbers it.
type rowNamed struct {
	dataset ecluse.DatasetID
	row     int64
}

// UnmarshalText reads "result:12", and "result@2:12" of what the second reading sealed.
func (r *rowNamed) UnmarshalText(text []byte) error {
	dataset, row, _ := strings.Cut(string(text), ":")
	dataset, reading, later := strings.Cut(dataset, "@")
	id := ecluse.DatasetID(dataset)
	if n, err := strconv.Atoi(reading); err == nil && n > 1 {
		id, later = id.Changed(n-1), false
	}
	n, err := strconv.ParseInt(row, 10, 64)
	if dataset == "" || later || err != nil || n < 0 {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "release a row", Where: "--release", Why: "it is not DATASET:ROW", Next: "ecluse gate rejects names dataset and row: result:12, or result@2:12 of the second reading"}
	}
	r.dataset, r.row = id, n
	return nil
}

// release lets others see one row, masked: what is printed is what they see.
func (x *gateRejectsCmd) release(ctx context.Context, c *call, key ssh.Signer) error {
	return x.beside(x.Carried, func(b *app.Beside) error {
		r, err := b.Release(ctx, app.RejectsRequest{Migration: x.Migration, Passage: x.Passage, Key: key}, x.Free.dataset, x.Free.row)
		if err != nil {
			return err
		}
		c.ui.maskedRow(&r.Row)
		c.ui.tell("This, and no more, others can now see: ecluse rejects; the journal has who released it, by the act %s.",
			"Les autres voient désormais cette ligne ainsi, et rien de plus : ecluse rejects ; le journal dit qui l'a communiquée, par la signature %s.", r.ActDigest)
		return c.ui.object(r)
	})
}

// shapes shows the exact counts by reason, column and shape, of the last passage that ended
// or, once all else is erased, of the rows that are kept.
func (x *gateRejectsCmd) shapes(ctx context.Context, c *call, key ssh.Signer) error {
	return x.beside(x.Carried, func(b *app.Beside) error {
		v, err := b.Shapes(ctx, app.RejectsRequest{Migration: x.Migration, Passage: x.Passage, Key: key})
		if err != nil {
			return err
		}
		c.ui.personal()
		var s strings.Builder
		c.ui.reportShapes(&s, exactShapes(v.Shapes))
		c.ui.text(s.String())
		return c.ui.object(v)
	})
}

func (x *gateRejectsCmd) Run(ctx context.Context, c *call) error {
	key, err := x.signer(c)
	if err != nil {
		return err
	}
	if x.Free.dataset != "" {
		return x.release(ctx, c, key)
	}
	if err := c.ui.notIntoFile("show the rows put aside"); err != nil {
		return err
	}
	if x.By == "shape" {
		return x.shapes(ctx, c, key)
	}
	warn := sync.OnceFunc(c.ui.personal)
	return x.beside(x.Carried, func(b *app.Beside) error {
		out := rejectedRows{Rows: []rejectedRow{}}
		v, err := b.Rejects(ctx, app.RejectsRequest{Migration: x.Migration, Passage: x.Passage, Key: key}, func(row *gate.Rejected) error {
			warn()
			if c.ui.json {
				out.Rows = append(out.Rows, plainRow(row))
				return nil
			}
			return c.ui.rejected(row)
		})
		if err != nil {
			return err
		}
		out.Migration, out.Passage, out.Reported, out.Kept = v.Migration, v.Passage, v.Reported, v.Kept
		c.ui.tell("%s %s: %s rows put aside", "%s %s : %s lignes mises de côté", v.Migration, v.Passage, count(v.Rows))
		if v.Kept != "" {
			c.ui.tell("The migration is erased; these rows are kept here until %s, by the instruction, and then erased.",
				"La reprise est effacée ; ces lignes sont conservées ici jusqu'au %s, par l'instruction, puis effacées.", v.Kept)
		}
		if v.Reported != nil && *v.Reported < v.Rows {
			fmt.Fprintf(c.ui.err, "ecluse: %s\n", c.ui.say(
				"the report counts %s: rows of a chunk that was rolled back, and then loaded whole, are still among these",
				"le rapport en compte %s : des lignes d'un paquet annulé, puis chargé en entier, sont encore parmi celles-ci", count(*v.Reported)))
		}
		return c.ui.object(out)
	})
}
