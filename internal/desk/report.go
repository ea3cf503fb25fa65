package desk

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
)

// ReportView is what the gates stated of a passage and of the reading before it.
type ReportView struct {
	*gate.LoadStatement
	Extract  *gate.ExtractStatement `json:"extract,omitempty"`       // nil while reading goes on
	Disposed []evidence.Disposition `json:"disposed,omitempty"`      // what the controller signed becomes of the rows put aside; none before acceptance
	Left     int                    `json:"readings_left,omitempty"` // how often the source may still be read again for what changes
}

// Report reads the report of a passage ("dry-1"), or the last one.
func (d *Desk) Report(ctx context.Context, id ecluse.MigrationID, passage string) (*ReportView, error) {
	l, m, err := d.at(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := reports(ctx, l, m)
	if err != nil {
		return nil, err
	}
	last := all[len(all)-1]
	r, err := reportOf(all, m, passage)
	if err != nil {
		return nil, err
	}
	v := &ReportView{LoadStatement: r.LoadStatement}
	if v.Disposed, err = disposed(ctx, l, m, r.digest, last.digest, r.LoadStatement); err != nil || r.Passage != last.Passage {
		return v, err // what the source gate says now is of the last
	}
	source, _, err := gatesOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	said, err := l.Posted(ctx, m, exchange.ExtractReport)
	if err != nil {
		return nil, err
	}
	if v.Extract, err = gate.LastExtract(said, source); err != nil {
		return nil, err
	}
	stands, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, s := range stands {
		if s.Place.Passage == procedure.Compared && s.Readings != nil {
			v.Left = s.Readings.Left
		}
	}
	return v, nil
}

// disposed is what the controller signed becomes of the rows put aside, by the report's
// datasets and reasons; nil before it is accepted, and of another than the last.
func disposed(ctx context.Context, l Lock, m ecluse.MigrationID, report, last ecluse.Digest, s *gate.LoadStatement) ([]evidence.Disposition, error) {
	text, err := l.Current(ctx, m, evidence.KindDispositions)
	if err != nil || text == nil || s.Compared == nil || report != last {
		return nil, err
	}
	var d evidence.Dispositions
	if err := evidence.DecodeJSON(text, &d); err != nil {
		return nil, err
	}
	if d.Migration != m || d.Report != report {
		return nil, another("read report", string(m), "what the lock says becomes of the rows put aside is said of another report")
	}
	var all []evidence.Disposition
	for _, g := range s.Compared.Rejected {
		all = append(all, evidence.Disposition{Dataset: g.Dataset, By: g.By, Becomes: d.Of(g.Dataset, g.By)})
	}
	return all, nil
}

// RejectsView is what others than the laboratory know of rows that were put aside.
type RejectsView struct {
	Migration ecluse.MigrationID `json:"migration"`
	Passage   ecluse.Passage     `json:"passage"`
	Report    ecluse.Digest      `json:"report"`
	gate.Aside
	Released []ReleasedRow `json:"released"`
}

// ReleasedRow is one row, masked, and who of the controller's let others see it.
type ReleasedRow struct {
	Passage ecluse.Passage     `json:"passage"`
	Row     evidence.MaskedRow `json:"row"`
	By      string             `json:"by"`
	Act     ecluse.Digest      `json:"act"`
	At      time.Time          `json:"at"`
}

// Rejects reads what was put aside in a passage ("dry-1"), or in the last that has a
// report: by reason, column and shape, and the rows that were released.
func (d *Desk) Rejects(ctx context.Context, id ecluse.MigrationID, passage string) (*RejectsView, error) {
	l, m, err := d.at(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := reports(ctx, l, m)
	if err != nil {
		return nil, err
	}
	s, err := reportOf(all, m, passage)
	if err != nil {
		return nil, err
	}
	v := &RejectsView{Migration: m, Passage: s.Passage, Report: s.digest, Aside: s.Aside(), Released: []ReleasedRow{}}
	source, _, err := gatesOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	said, err := l.Posted(ctx, m, exchange.ReleasedRow)
	if err != nil || len(said) == 0 {
		return v, err
	}
	rosters, err := d.controllers(ctx, l)
	if err != nil {
		return nil, err
	}
	for _, x := range said {
		r, act, err := evidence.ParseReleased(x, source)
		if err != nil {
			return nil, err
		}
		if r.Migration != m {
			return nil, another("read a released row", string(m), "it is of another migration")
		}
		if _, _, err := evidence.VerifyAct(r.Act, rosters, act.NotBefore); err != nil {
			return nil, err
		}
		v.Released = append(v.Released, ReleasedRow{Passage: r.Passage, Row: r.Row, By: act.Person, Act: r.ActDigest, At: r.At})
	}
	return v, nil
}

// controllers are the controller's rosters, by the root that this device knows.
func (d *Desk) controllers(ctx context.Context, l Lock) (*evidence.Rosters, error) {
	signed, err := l.Rosters(ctx)
	if err != nil {
		return nil, err
	}
	all := &evidence.Rosters{}
	for _, s := range signed {
		r, err := evidence.ParseRoster("roster", s.Body)
		if err != nil {
			return nil, err
		}
		if r.Side != ecluse.Controller {
			continue
		}
		if d.roots != nil {
			if r, err = evidence.VerifyRoster(s, d.roots[ecluse.Controller]); err != nil {
				return nil, err
			}
		}
		if err := all.Add(r); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// signedReport is a report and the digest that it is signed under.
type signedReport struct {
	*gate.LoadStatement
	digest ecluse.Digest
}

// reports are those of all passages that ended, as the target gate signed them, in the
// order in which they were posted: one at least.
func reports(ctx context.Context, l Lock, m ecluse.MigrationID) ([]signedReport, error) {
	_, target, err := gatesOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	posted, err := l.Posted(ctx, m, exchange.LoadReport)
	if err != nil {
		return nil, err
	}
	if len(posted) == 0 {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read report", Where: string(m), Why: "no passage has ended", Next: "ecluse status"}
	}
	var all []signedReport
	for _, x := range posted {
		r := signedReport{&gate.LoadStatement{}, x.Digest()}
		if err := stated(x, m, target, evidence.ReportFormat, r.LoadStatement); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// reportOf is the last report of a passage, or of all.
func reportOf(all []signedReport, m ecluse.MigrationID, passage string) (signedReport, error) {
	for _, r := range slices.Backward(all) {
		if passage == "" || r.Passage.String() == passage {
			return r, nil
		}
	}
	var have []string
	for _, r := range all {
		if name := r.Passage.String(); !slices.Contains(have, name) {
			have = append(have, name)
		}
	}
	return signedReport{}, &ecluse.Error{Kind: ecluse.Invalid, What: "read report", Where: string(m), Why: "there is no report of that passage", Next: "there are reports of " + strings.Join(have, ", ")}
}

// inHand is the report of the passage in hand: what go, no-go and acceptance are said of.
func inHand(ctx context.Context, l Lock, m ecluse.MigrationID) (*gate.LoadStatement, ecluse.Digest, error) {
	all, err := reports(ctx, l, m)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	current, err := l.Current(ctx, m, evidence.KindReport)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	r := all[len(all)-1]
	for _, x := range all {
		if current != nil && x.digest == ecluse.DigestOf(current) {
			r = x
		}
	}
	return r.LoadStatement, r.digest, nil
}

// BundleView is an evidence folder written.
type BundleView struct {
	Migration ecluse.MigrationID `json:"migration"`
	Dir       string             `json:"dir"`
	Files     int                `json:"files"`
	Verify    string             `json:"verify"`    // the command
	VerifySh  string             `json:"verify_sh"` // the one that needs stock tools only
}

// Evidence writes the evidence folder of an erased migration (step 13).
func (d *Desk) Evidence(ctx context.Context, id ecluse.MigrationID, dir string) (*BundleView, error) {
	l, m, err := d.at(ctx, id)
	if err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "write evidence", Where: dir, Why: "it is a file, or a folder that is not empty", Next: "name a new folder"}
	}
	b, err := l.Evidence(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, root := range b.Roots {
		if !root.Valid() {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "write evidence", Why: "the lock names a root that is no key's fingerprint", Next: "verify with the roots that you hold yourself"}
		}
	}
	v := &BundleView{Migration: m, Dir: dir, Files: len(b.Files)}
	err = durable.Whole(dir, func(into string) error {
		for _, f := range b.Files {
			if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
				return &ecluse.Error{Kind: ecluse.Unverified, What: "write evidence", Why: "the lock names a file outside the folder"}
			}
			path := filepath.Join(into, filepath.FromSlash(f.Name))
			if err := durable.Mkdir(filepath.Dir(path)); err != nil {
				return err
			}
			if err := durable.WriteFile(path, f.Body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "write evidence", Where: dir, Err: err, Next: "nothing was left behind: run the same command again, or name another folder"}
	}
	// The folder stays where a receipt contradicts it: it is what the lock claims.
	if err := d.checkReceipts(m, os.DirFS(dir)); err != nil {
		return nil, err
	}
	anchors := b.Roots
	if d.roots != nil {
		anchors = d.roots // what the server says of them is not asked
	}
	roots := "--controller " + string(anchors[ecluse.Controller]) + " --processor " + string(anchors[ecluse.Processor])
	v.Verify = "ecluse verify " + dir + " " + roots
	for _, f := range b.Files {
		if f.Name == evidence.FileScript && bytes.Equal(f.Body, evidence.Script()) { // another's is not for running
			v.VerifySh = "sh " + filepath.Join(dir, evidence.FileScript) + " " + dir + " " + roots
		}
	}
	return v, nil
}
