package desk

import (
	"io/fs"
	"os"
	"path/filepath"

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
	dir := ReceiptsOf(d.plans, m)
	if err := durable.Mkdir(dir); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, act.Hex()+".json"), text)
}

// checkReceipts holds evidence against what this desk was given for acts.
func (d *Desk) checkReceipts(m ecluse.MigrationID, bundle fs.FS) error {
	all, err := evidence.Receipts(os.DirFS(ReceiptsOf(d.plans, m)))
	if err != nil {
		return err
	}
	for _, k := range all {
		if err := k.Check(bundle); err != nil {
			return &ecluse.Error{
				Kind: ecluse.Unverified, What: "hold the evidence against receipts", Where: k.File, Err: err,
				Next: "keep evidence and receipts as they are, and call the laboratory's data-protection officer: the lock kept an act from the gates",
			}
		}
	}
	return nil
}

// ReceiptsOf is the folder, below the plans', of what was given for a migration's acts.
func ReceiptsOf(plans string, m ecluse.MigrationID) string {
	return filepath.Join(plans, receiptsFolder, string(m))
}
