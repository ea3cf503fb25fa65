package lock

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/journal"
)

// attempt is something that somebody tries: if contract, instruction, roster or
// procedure do not allow it, it leaves one event and no other trace.
type attempt struct {
	verb      string
	migration ecluse.MigrationID // empty: not known, or before any
	subject   ecluse.Digest      // the document it is about; zero: none
	by        *Person            // whose attempt it is; nil: nobody's in particular
}

// journal notes the attempt if *err says that it was refused; it is deferred. What
// broke, is wrong or waits for a signature was not refused and is not noted.
func (a *attempt) journal(ctx context.Context, l *Lock, err *error) {
	if *err == nil || ecluse.KindOf(*err) != ecluse.Refused {
		return
	}
	e := journal.Event{
		Tree: evidence.InstallationTree, Type: journal.MoveRefused,
		IDs: map[string]string{"verb": a.verb, "reason": string(ecluse.Refused)},
	}
	if !a.subject.IsZero() {
		e.IDs["subject"] = a.subject.String()
	}
	// A file of evidence that is closed stays as it was signed.
	if m, err := l.store.Migration(ctx, a.migration); err == nil && m.Ended.IsZero() {
		e.Tree = string(m.ID)
	}
	if a.by != nil && a.by.person != nil {
		e.Body = journal.Attempt{Side: a.by.roster.Side, Person: journal.PersonID(a.by.person.ID)}
	}
	if noted := l.store.Do(ctx, e, nil); noted != nil {
		*err = errors.Join(*err, noted)
	}
}

// idOf finds the id that a document gives itself, which may be refused as a whole.
func idOf(text []byte) ecluse.MigrationID {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("id:")); ok {
			word, _, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
			return ecluse.MigrationID(strings.Trim(word, `"'`))
		}
	}
	return ""
}
