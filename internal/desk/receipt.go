package desk

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
)

// receiptsFolder is where a desk keeps what it was given for acts, below its plans.
const receiptsFolder = "receipts"

// keep checks what a lock gave for an act and keeps it: evidence that comes later must
// have a journal that continues it.
func (d *Desk) keep(m ecluse.MigrationID, r *exchange.Receipt, act ecluse.Digest) error {
	refuse := func(why string, err error) error {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "read the receipt", Where: act.String(), Why: why, Err: err,
			Next: "the act was handed in, and nothing shows that it counts: call the other party and both gates' keepers, and ask what they see",
		}
	}
	if r.Act != act {
		return refuse("it is for another act", nil)
	}
	h, err := evidence.ParseHead(r.Head.Body)
	if err != nil {
		return refuse("it has no head of the journal", err)
	}
	if _, err := r.Head.Verify(evidence.NamespaceHead); err != nil {
		return refuse("its signature does not hold", err)
	}
	if m == "" { // contracts stand before any migration, and their evidence has no journal
		return nil
	}
	if h.Tree != string(m) || h.Size == 0 {
		return refuse("its head is of another journal", nil)
	}
	text, err := evidence.EncodeJSON(r)
	if err != nil {
		return err
	}
	dir := filepath.Join(d.plans, receiptsFolder, string(m))
	if err := durable.Mkdir(dir); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, act.Hex()+".json"), text)
}

// checkReceipts holds evidence against what this desk was given for acts.
func (d *Desk) checkReceipts(m ecluse.MigrationID, bundle fs.FS) error {
	dir := filepath.Join(d.plans, receiptsFolder, string(m))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		r := &exchange.Receipt{}
		if err := json.Unmarshal(text, r); err != nil {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "read receipt", Where: e.Name(), Why: "it is damaged", Next: "bring it back from a copy, or move it aside"}
		}
		if err := r.Check(bundle); err != nil {
			return &ecluse.Error{
				Kind: ecluse.Unverified, What: "hold the evidence against receipts", Where: e.Name(), Err: err,
				Next: "keep evidence and receipts as they are, and call the laboratory's data-protection officer: the lock kept an act from the gates",
			}
		}
	}
	return nil
}
