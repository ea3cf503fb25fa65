package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"ecluse"
	"ecluse/internal/desk"
	"ecluse/internal/due"
	"ecluse/internal/durable"
	"ecluse/internal/mandate"
	"ecluse/internal/sheet"
)

// sheetCmd prints the cut-over sheet. Names and telephone numbers are in the person's file
// and in what is written here, and are sent nowhere.
type sheetCmd struct {
	which
	as
	File string `arg:"" help:"${sheet_file}"`
	HTML string `name:"html" help:"${sheet_html}" placeholder:"FILE"`
	PDF  string `name:"pdf" help:"${sheet_pdf}" placeholder:"FILE"`
}

// sheetView is what --json prints: no name, no number.
type sheetView struct {
	Migration ecluse.MigrationID `json:"migration"`
	HTML      string             `json:"html,omitempty"`
	PDF       string             `json:"pdf,omitempty"`
	LastNoGo  *time.Time         `json:"last_no_go,omitempty"`
	Undo      float64            `json:"undo,omitempty"` // seconds, at most
}

func (x *sheetCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	in, err := sheet.ParseInput(x.File, text)
	if err != nil {
		return err
	}
	if x.PDF != "" {
		if err := in.ForPDF(x.File); err != nil {
			return err
		}
	}
	if x.HTML == "" && x.PDF == "" {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "write the sheet", Why: "nobody said where to", Next: "ecluse sheet " + x.File + " --html sheet.html --pdf sheet.pdf"}
	}
	if sameFile(x.HTML, x.PDF) || sameFile(x.File, x.HTML) || sameFile(x.File, x.PDF) {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "write the sheet", Where: x.File, Why: "one file would be written over the other", Next: "ecluse sheet " + x.File + " --html sheet.html --pdf sheet.pdf"}
	}
	return c.with(ctx, func(d *desk.Desk) error {
		n, err := d.Night(ctx, x.Migration)
		if err != nil {
			return err
		}
		f, err := c.ui.facts(in, n)
		if err != nil {
			return err
		}
		page := sheet.New(in, f, c.ui.say("en", "fr"), c.ui.say)
		v := sheetView{Migration: f.Migration, HTML: x.HTML, PDF: x.PDF}
		var html, pdf bytes.Buffer
		if err := page.HTML(&html); err != nil {
			return err
		}
		if x.PDF != "" {
			if err := page.PDF(&pdf, f.Made); err != nil {
				return err
			}
		}
		for _, f := range []struct {
			name string
			text []byte
		}{{x.HTML, html.Bytes()}, {x.PDF, pdf.Bytes()}} {
			if f.name == "" {
				continue
			}
			if err := durable.WriteFile(f.name, f.text); err != nil { // telephone numbers
				return &ecluse.Error{Kind: ecluse.Failed, What: "write the sheet", Where: f.name, Err: err, Next: "name a file in a folder that you may write"}
			}
			c.ui.tell("written: %s", "écrit : %s", f.name)
		}
		if at, undo, known := sheet.LastNoGo(in, f); known {
			v.LastNoGo, v.Undo = &at, undo.Seconds()
			c.ui.tell("last hour for no-go: %s", "dernière heure pour refuser le feu vert : %s", at.Format("2006-01-02 15:04 MST"))
			if report, late := sheet.TooLate(in, f); late {
				c.ui.tell("  WARNING: the report is there at %s, and there is no time to undo after it: begin earlier, or load before and catch up",
					"  ATTENTION : le rapport n'est là qu'à %s, et il n'y a plus le temps d'annuler ensuite : commencer plus tôt, ou charger avant puis rattraper", report.Format("2006-01-02 15:04 MST"))
			}
		}
		return c.ui.object(v)
	})
}

// sameFile tells whether two names are of one file, there or yet to be made.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// facts are what the lock knows, in the language of the screen.
func (u *ui) facts(in *sheet.Input, n *desk.Night) (*sheet.Facts, error) {
	i := n.Instruction
	f := &sheet.Facts{
		Migration: i.ID, From: i.Source.System, To: i.Target.System, Passage: n.Status.Passage, State: u.state(n.Status.Place),
		Deputies: i.Deputies, Window: i.Limits.Window, Made: time.Now(),
	}
	if i.Limits.Window != "" {
		w, err := mandate.ParseWindow(i.Limits.Window)
		if err != nil {
			return nil, err
		}
		f.Closes = w.Closes(w.Opens(in.Begins))
	}
	if p := n.Status.Predicted; p != nil {
		f.Read, f.AllRead = time.Duration(p.Read*float64(time.Second)), p.Read == 0
		if p.Measured { // what is usual elsewhere is no hour to decide by
			f.Load = time.Duration(p.Load * float64(time.Second))
		}
	}
	for _, e := range n.Ends {
		what := u.dueWord(due.Kind(e.Of))
		if e.Of == mandate.OfRoster {
			what = u.say("the %s's roster", "la liste des personnes habilitées du %s", u.side(e.Side))
		}
		f.Ends = append(f.Ends, sheet.End{What: what, At: e.At})
	}
	return f, nil
}
