package lock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// A source gate that no line reaches is asked, and answers, by what is carried by hand
// (exchange.Dispatch, exchange.Return). What is asked of it stays asked, whoever asked:
// the answer is there when the same thing is asked again.

// noLine tells whether a gate said, and the controller confirmed, that no line reaches it.
func (l *Lock) noLine(ctx context.Context, gate ecluse.Fingerprint) (bool, error) {
	all, err := l.enrolledNow(ctx)
	if err != nil {
		return false, err
	}
	return withoutLine(all, gate, false), nil
}

// carriedFor finds the gate meant: the one named, or the only one without a line. One that
// was retired is carried to as well while it has keys to destroy (Standing).
func (l *Lock) carriedFor(ctx context.Context, gate ecluse.Fingerprint) (ecluse.Fingerprint, error) {
	all, err := l.Gates(ctx)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(v exchange.GateView) bool { return !v.NoLine || gate != "" && v.Gate != gate })
	var let []ecluse.Fingerprint
	for _, v := range all {
		s, err := l.Standing(ctx, v.Gate)
		if err != nil {
			return "", err
		}
		if s != Stranger {
			let = append(let, v.Gate)
		}
	}
	if len(let) == 1 {
		return let[0], nil
	}
	where := string(gate)
	why := fmt.Sprintf("%d gates said that no line reaches them, and were confirmed", len(let))
	if gate != "" {
		why = "it is no gate that said so of itself, and was confirmed"
	}
	return "", &ecluse.Error{
		Kind: ecluse.Invalid, What: "find the gate without a line", Where: where, Why: why,
		Next: "ecluse gates lists them; name one with --gate; one is enrolled with: ecluse gate enrol … --carried FOLDER",
	}
}

// CarryOut says all that a gate without a line needs to go on, under the lock's signature.
func (s *Person) CarryOut(ctx context.Context, gate ecluse.Fingerprint) (*evidence.Signed, error) {
	gate, err := s.carriedFor(ctx, gate)
	if err != nil {
		return nil, err
	}
	over, err := s.inTurn(ctx) // what comes in meanwhile would be in the cases and not in Came, or the other way round
	if err != nil {
		return nil, err
	}
	defer over()
	d := &exchange.Dispatch{Format: exchange.DispatchFormat, Lock: s.Key(), Gate: gate, Work: []exchange.Work{}, Cases: []exchange.CarriedCase{}}
	wanted, err := s.wanted(ctx, gate)
	if err != nil {
		return nil, err
	}
	d.Work = append(d.Work, wanted...)
	migrations, err := s.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range migrations {
		c, err := s.carriedOf(ctx, gate, m, wanted)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil { // the others of the laboratory go on; nothing is asked about this one
			s.alert(ctx, m.ID, err)
			d.Work = slices.DeleteFunc(d.Work, func(w exchange.Work) bool { return w.Migration == m.ID })
			continue
		}
		if c != nil {
			d.Cases = append(d.Cases, *c)
		}
	}
	event := journal.Event{Tree: evidence.InstallationTree, Type: journal.CarriedOut, IDs: map[string]string{"gate": string(gate)}, Numbers: map[string]int64{}, Body: s.carrier()}
	var signed evidence.Signed
	err = s.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		c, err := tx.Carried(ctx, gate)
		if err != nil {
			return err
		}
		c.Number++
		d.Number, d.Made, d.Came = c.Number, tx.Now().UTC().Truncate(time.Second), exchange.Came{Number: c.Came, Items: c.Items}
		event.Numbers["number"], event.Numbers["works"] = c.Number, int64(len(d.Work))
		text, err := evidence.EncodeJSON(d)
		if err != nil {
			return err
		}
		if signed, err = evidence.Sign(s.signer, evidence.NamespaceCarried, text); err != nil {
			return err
		}
		return tx.CarriedOut(ctx, gate, c.Number)
	})
	return &signed, err
}

// carriedOf gathers what a gate may ask about a migration; nil when it is none of its, or is
// over and nothing is asked about it.
func (s *Person) carriedOf(ctx context.Context, gate ecluse.Fingerprint, m store.Migration, wanted []exchange.Work) (*exchange.CarriedCase, error) {
	source, _, err := s.gates(ctx, m.ID)
	if ecluse.KindOf(err) == ecluse.WaitsForSign || err == nil && source != gate {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !m.Ended.IsZero() && !slices.ContainsFunc(wanted, func(w exchange.Work) bool { return w.Migration == m.ID }) {
		return nil, nil
	}
	return s.carriedCase(ctx, m.ID)
}

// carrier is who carries, for the part of the journal that may be forgotten.
func (s *Person) carrier() journal.Body {
	return journal.Carrier{Side: s.roster.Side, Person: journal.PersonID(s.person.ID)}
}

// carriedCase gathers what a source gate may ask about a migration.
func (l *Lock) carriedCase(ctx context.Context, m ecluse.MigrationID) (*exchange.CarriedCase, error) {
	c := &exchange.CarriedCase{
		Migration: m, Papers: map[exchange.Paper][]evidence.Signed{}, Leaves: [][]byte{},
		Cosigned: map[ecluse.Fingerprint]evidence.Signed{},
	}
	var err error
	// What a source gate looks at in it is the same of every kind.
	if c.Case, err = l.Case(ctx, m, ecluse.Final); err != nil {
		return nil, err
	}
	for _, kind := range exchange.PapersOfGates() {
		if c.Papers[kind], err = l.Posted(ctx, m, kind); err != nil {
			return nil, err
		}
	}
	if c.Slots, err = l.Slots(ctx, m); err != nil {
		return nil, err
	}
	if c.Manifest, err = l.Manifest(ctx, m); err != nil {
		return nil, err
	}
	if c.Rejects, err = l.Rejects(ctx, m); err != nil {
		return nil, err
	}
	if c.Asked, err = l.Asked(ctx, m); err != nil {
		return nil, err
	}
	source, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, g := range []ecluse.Fingerprint{source, target} {
		s, err := l.Cosigned(ctx, m, g)
		if err != nil {
			return nil, err
		}
		if s != nil {
			c.Cosigned[g] = *s
		}
	}
	if c.Head, err = l.log.Head(ctx, string(m)); err != nil {
		return nil, err
	}
	head, err := evidence.ParseHead(c.Head.Body)
	if err != nil {
		return nil, err
	}
	raw, _, err := l.log.Leaves(ctx, string(m), 0, head.Size)
	if err != nil {
		return nil, err
	}
	for _, leaf := range raw {
		h := evidence.LeafHash(leaf)
		c.Leaves = append(c.Leaves, h[:])
	}
	return c, nil
}

// CarryReject opens rows put aside, sealed to the source gate, to be carried to it.
func (s *Person) CarryReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	source, _, err := s.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	if _, err := s.carriedFor(ctx, source); err != nil {
		return nil, err
	}
	return s.GetReject(ctx, m, sha256)
}

// CarryPaper takes in what a gate without a line says of itself.
func (s *Person) CarryPaper(ctx context.Context, paper evidence.Signed) error {
	_, err := s.Enrol(ctx, paper)
	return err
}

// CarryIn takes in what a gate without a line said, in its order, as far as the next
// chunk; CarryChunk takes in that chunk and what follows it. What came in before is
// passed over.
func (s *Person) CarryIn(ctx context.Context, signed evidence.Signed) (*exchange.Taken, error) {
	r, err := exchange.ParseReturn(signed, s.Key())
	if err != nil {
		return nil, err
	}
	if _, err := s.carriedFor(ctx, r.Gate); err != nil {
		return nil, err
	}
	x := &returned{Return: r, digest: signed.Digest(), sums: make([][]byte, 1, len(r.Items)+1)}
	for _, it := range r.Items {
		text, err := evidence.EncodeJSON(it)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append(bytes.Clone(x.sums[len(x.sums)-1]), text...))
		x.sums = append(x.sums, sum[:])
	}
	over, err := s.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	s.returned = x // one at a time: whoever comes between begins again
	return s.take(ctx, x)
}

// CarryChunk takes in the chunk that is an item of what a gate said, and what follows.
// While its body comes in, which may take long, others carry in as well: a chunk comes in
// as over a line, and is no part of the order before its item is taken.
func (s *Person) CarryChunk(ctx context.Context, of ecluse.Digest, item int, body io.Reader) (*exchange.Taken, error) {
	r, err := s.returning(ctx, of)
	if err != nil || r.over != nil {
		return r.taken(), err
	}
	c, err := s.store.Carried(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	standing, err := s.Standing(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	// Any other item than the next one is none that this lock asked for.
	if standing == Known && c.Came == r.Number && c.Items == item && item < len(r.Items) && r.Items[item].Kind == exchange.ItemPut {
		it := r.Items[item]
		if err := s.fromGate(ctx, r.Gate, it); err != nil {
			return nil, err
		}
		if _, err := s.Put(ctx, it.Migration, *it.Signed, body); err != nil {
			return nil, err
		}
	}
	over, err := s.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	return s.take(ctx, r)
}

// inTurn waits until nobody else carries out, or takes in what was carried.
func (l *Lock) inTurn(ctx context.Context) (over func(), err error) {
	select {
	case l.carrying <- struct{}{}:
		return func() { <-l.carrying }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// returning is the return that is being taken in, if it is this one.
func (l *Lock) returning(ctx context.Context, of ecluse.Digest) (*returned, error) {
	over, err := l.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	if r := l.returned; r != nil && r.digest == of {
		return r, nil
	}
	return nil, &ecluse.Error{Kind: ecluse.Interrupted, What: "carry in", Where: of.String(), Why: "the server started again meanwhile, or somebody else carries in", Next: "run the same command again"}
}

// returned is what a gate said, being taken in. sums[n] is of its first n items: a return
// that is signed anew with more in it begins with the same.
type returned struct {
	*exchange.Return
	digest ecluse.Digest
	sums   [][]byte
	over   *exchange.Taken // once all of it is in; then there is nothing else
}

func (r *returned) taken() *exchange.Taken {
	if r == nil {
		return nil
	}
	return r.over
}

// take takes in what a gate said as far as the next chunk that is not in; the caller has
// its turn.
func (s *Person) take(ctx context.Context, r *returned) (*exchange.Taken, error) {
	refuse := func(why, next string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "carry in", Where: fmt.Sprintf("return %d of %s", r.Number, r.Gate), Why: why, Next: next}
	}
	c, err := s.store.Carried(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Number > c.Number:
		return nil, refuse(fmt.Sprintf("nothing of that number was carried out: the last was %d", c.Number), "find out where it comes from: this lock's folder may have been put back from a copy")
	case r.Number < c.Came:
		return nil, refuse(fmt.Sprintf("the return to dispatch %d came in before", c.Came), "it is late, and what it says is not taken in; carry out anew")
	case r.Number > c.Came:
		c.Came, c.Items, c.Digest = r.Number, 0, nil
		event := journal.Event{
			Tree: evidence.InstallationTree, Type: journal.CarriedIn, IDs: map[string]string{"gate": string(r.Gate)},
			Numbers: map[string]int64{"number": r.Number, "items": int64(len(r.Items))}, Body: s.carrier(),
		}
		if err := s.store.Do(ctx, event, func(tx *sqlite.Tx) error { return tx.CarriedIn(ctx, r.Gate, c) }); err != nil {
			return nil, err
		}
	}
	if c.Items > len(r.Items) || !bytes.Equal(r.sums[c.Items], c.Digest) {
		return nil, refuse("it does not begin with what came in of it before: the gate's folder was put back from a copy, or another answered", "keep the folder as it is, and call the laboratory's data-protection officer")
	}
	standing, err := s.Standing(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	defer s.tell()
	for c.Items < len(r.Items) {
		it := r.Items[c.Items]
		let, err := s.lets(ctx, standing, it)
		if err != nil {
			return nil, err
		}
		if let && it.Kind == exchange.ItemPut {
			in, err := s.alreadyIn(r.Gate, it)
			if err != nil {
				return nil, err
			}
			if !in {
				return &exchange.Taken{Done: c.Items, Of: len(r.Items)}, nil // this chunk is what is wanted next
			}
		}
		next := store.Carried{Number: c.Number, Came: c.Came, Items: c.Items + 1, Digest: r.sums[c.Items+1]}
		if let {
			err = s.takeItem(ctx, r.Gate, it, next)
		} else {
			err = s.store.CarriedIn(ctx, r.Gate, next)
		}
		if err != nil {
			return nil, err
		}
		c = next
	}
	if s.returned == r { // it may be large, and is over; whoever did not hear so asks again
		s.returned = &returned{digest: r.digest, over: &exchange.Taken{Done: c.Items, Of: len(r.Items)}}
	}
	return &exchange.Taken{Done: c.Items, Of: len(r.Items)}, nil
}

// lets tells whether a gate of a standing is let say something. One that was retired says
// what it ended, as over a line: the rest is passed over, for an erasure must not wait for it.
func (l *Lock) lets(ctx context.Context, standing Standing, it exchange.Item) (bool, error) {
	switch {
	case standing == Known:
		return true, nil
	case standing != Leaving:
		return false, nil
	case it.Kind == exchange.ItemPost:
		return it.Paper.Ends(), nil
	case it.Kind != exchange.ItemAnswer:
		return false, nil
	}
	w, err := l.store.Work(ctx, it.Work)
	if errors.Is(err, fs.ErrNotExist) { // it was withdrawn and forgotten meanwhile
		return false, nil
	}
	return err == nil && exchange.Verb(w.Verb).Ends(), err
}

// alreadyIn tells whether the very chunk of an item is in the chamber.
func (l *Lock) alreadyIn(gate ecluse.Fingerprint, it exchange.Item) (bool, error) {
	d, err := evidence.ParseDescriptor(*it.Signed, gate)
	if err != nil {
		return false, err
	}
	s, body, err := l.chamber.Get(it.Migration, d.Slot)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return bytes.Equal(s.Body, it.Signed.Body), body.Close()
}

// takeItem takes in one thing that a gate said, by the same checks as over a line. What
// the journal would have twice after a crash is in one transaction with how far it came.
func (l *Lock) takeItem(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item, next store.Carried) error {
	if it.Kind == exchange.ItemRecord {
		event, err := l.Seat(gate).event(ctx, *it.Event)
		if err != nil {
			return err
		}
		return l.store.Do(ctx, event, func(tx *sqlite.Tx) error { return tx.CarriedIn(ctx, gate, next) })
	}
	if err := l.takeSigned(ctx, gate, it); err != nil {
		return err
	}
	return l.store.CarriedIn(ctx, gate, next)
}

// fromGate refuses what is not signed by a gate of its migration.
func (l *Lock) fromGate(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item) error {
	if err := l.Names(ctx, it.Migration, gate); err != nil {
		return err
	}
	return it.Signed.VerifyBy(it.Namespace(), gate)
}

func (l *Lock) takeSigned(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item) error {
	if it.Kind == exchange.ItemAnswer {
		err := l.Seat(gate).Answer(ctx, it.Work, *it.Answer)
		if errors.Is(err, fs.ErrNotExist) { // it was withdrawn and forgotten meanwhile
			return nil
		}
		return err
	}
	if err := l.fromGate(ctx, gate, it); err != nil {
		return err
	}
	switch it.Kind {
	case exchange.ItemPost:
		return l.Post(ctx, it.Migration, it.Paper, *it.Signed)
	case exchange.ItemPut: // the chunk is in: only what a crash kept from the journal is made good
		_, err := l.Put(ctx, it.Migration, *it.Signed, bytes.NewReader(nil))
		return err
	case exchange.ItemClose:
		return l.closeOnce(ctx, it.Migration, *it.Signed)
	case exchange.ItemCosign:
		return l.Cosign(ctx, it.Migration, *it.Signed)
	case exchange.ItemLend:
		err := l.Lend(ctx, it.Migration, *it.Signed)
		if ecluse.KindOf(err) == ecluse.Refused || errors.Is(err, fs.ErrNotExist) { // it came too late, and is asked for again
			return nil
		}
		return err
	}
	return &ecluse.Error{Kind: ecluse.Invalid, What: "carry in", Why: "the gate said something that this program does not know", Next: "let server and gates be of one version"}
}

// closeOnce is Close, unless a crash came after it and before it was noted that it came.
func (l *Lock) closeOnce(ctx context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	stored, err := l.Manifest(ctx, m)
	if err != nil {
		return err
	}
	if stored != nil && bytes.Equal(stored.Body, manifest.Body) {
		mig, err := l.store.Migration(ctx, m)
		if err != nil || mig.Place.Migration != procedure.Reading {
			return err
		}
	}
	return l.Close(ctx, m, manifest)
}

// stays tells whether what is asked of a gate stays asked, whoever asked: the gate is
// reached by hand only. Of a target gate nothing does but to make its recipient, which is
// asked together with the source gate's: what it compiles is of now.
func (l *Lock) stays(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (bool, error) {
	if w.Verb == exchange.MakeRecipient {
		return l.borrowsByHand(ctx, gate, w.Migration)
	}
	return l.noLine(ctx, gate)
}

// borrowsByHand tells whether a gate, or the source gate that it borrows from, is reached by
// hand only.
func (l *Lock) borrowsByHand(ctx context.Context, gate ecluse.Fingerprint, m ecluse.MigrationID) (bool, error) {
	if byHand, err := l.noLine(ctx, gate); err != nil || byHand {
		return byHand, err
	}
	source, _, err := l.gates(ctx, m)
	if ecluse.KindOf(err) == ecluse.WaitsForSign {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return l.noLine(ctx, source)
}

// question names what is asked, so that it is known again: the same of the same gate, under
// the same papers in force.
func question(gate ecluse.Fingerprint, w exchange.Work, inForce []ecluse.Digest) (string, error) {
	w.ID = ""
	text, err := json.Marshal(struct {
		Gate    ecluse.Fingerprint
		Work    exchange.Work
		InForce []ecluse.Digest
	}{gate, w, inForce})
	if err != nil {
		return "", err
	}
	return "carried-" + ecluse.DigestOf(text).Hex()[:40], nil
}

// restsOn are the digests of the papers that an answer about a migration may rest on; zero
// before there is one.
func (l *Lock) restsOn(ctx context.Context, m ecluse.MigrationID) ([]ecluse.Digest, error) {
	if m == "" {
		return nil, nil
	}
	var all []ecluse.Digest
	for _, kind := range []string{evidence.KindInstruction, evidence.KindReadPlan, evidence.KindMapping} {
		d, err := l.store.Current(ctx, m, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// answerLife is how long an answer that nobody took is one: the database that it speaks of
// may be another by then. What a gate ended stays ended.
const answerLife = 24 * time.Hour

// forgetOld forgets an answer that is too old, and tells whether it was.
func (l *Lock) forgetOld(ctx context.Context, row *store.Work) (bool, error) {
	if row.Ended.IsZero() || exchange.Verb(row.Verb).Ends() {
		return false, nil
	}
	now, _, err := l.store.Now(ctx)
	if err != nil || now.Sub(row.Ended) <= answerLife {
		return false, err
	}
	return true, l.store.TakeWork(ctx, row.ID)
}

// askByHand asks something whose answer may take days. It is asked once; when it was
// answered, whoever asks next has the answer.
func (l *Lock) askByHand(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (*exchange.Answer, error) {
	papers, err := l.restsOn(ctx, w.Migration)
	if err != nil {
		return nil, err
	}
	id, err := question(gate, w, papers)
	if err != nil {
		return nil, err
	}
	w.ID = id
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	row, err := l.store.Work(ctx, id)
	if err == nil {
		var old bool
		if old, err = l.forgetOld(ctx, row); err == nil && old {
			row, err = nil, fs.ErrNotExist
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := l.store.AskWork(ctx, store.Work{ID: id, Gate: gate, Migration: w.Migration, Verb: string(w.Verb), Text: text}); err != nil {
			return nil, err
		}
		l.tell()
	case err != nil:
		return nil, err
	}
	if row == nil || row.Ended.IsZero() {
		if row, err = l.awaitByHand(ctx, gate, w); err != nil {
			return nil, err
		}
	}
	if err := l.store.TakeWork(ctx, id); err != nil {
		return nil, err
	}
	a, err := answerOf(row)
	if err != nil {
		return nil, err
	}
	return a, a.Err()
}

// awaitByHand waits for an answer as long as it may come over a line: the gate is on one,
// and borrows nothing from a gate that is not.
func (l *Lock) awaitByHand(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (*store.Work, error) {
	hand, err := l.noLine(ctx, gate)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for {
		wait, cancel := context.WithTimeoutCause(ctx, handPatience, errByHand)
		_, err := l.await(wait, gate, w.ID, w.Verb)
		cancel()
		var row *store.Work
		if err == nil {
			row, err = l.store.Work(ctx, w.ID)
		}
		switch {
		case err == nil:
			return row, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			return nil, &ecluse.Error{Kind: ecluse.Interrupted, What: "have a gate " + string(w.Verb), Where: string(gate), Why: "somebody who asked the same took the answer", Next: "run the same command again"}
		case !errors.Is(err, errByHand):
			return nil, err
		}
		borrows, err := l.borrows(ctx, w.Migration)
		if err != nil {
			return nil, err
		}
		switch seen := l.lastSeen(gate); {
		case borrows, hand && time.Since(seen) > away:
			return nil, exchange.ByHand(gate, w.Verb)
		case time.Since(seen) > away && time.Since(begun) > patience:
			return nil, exchange.Away(gate, seen, w.Verb)
		}
	}
}

// borrows tells whether a request for the release secret waits for its answer.
func (l *Lock) borrows(ctx context.Context, m ecluse.MigrationID) (bool, error) {
	if m == "" {
		return false, nil
	}
	asked, err := l.Asked(ctx, m)
	return len(asked) > 0, err
}

// handPatience is how long an answer is waited for before it is looked whether it has to
// be carried.
const handPatience = 2 * time.Second

var errByHand = errors.New("it has to be carried")

// byHand refuses to go on with an erasure while what was asked for it waits to be carried,
// and returns the certificate that both gates are to sign, once there is one: days pass
// between the one signature and the other.
func (l *Lock) byHand(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) (*evidence.Certificate, error) {
	if hand, err := l.noLine(ctx, i.Source.Gate); err != nil || !hand {
		return nil, err
	}
	all, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, w := range all {
		if !w.Ended.IsZero() || w.Gate != i.Source.Gate {
			continue
		}
		switch verb := exchange.Verb(w.Verb); verb {
		case exchange.Erase: // the other half of the key and the ciphertext go first
			target := &keyHolder{lock: l, at: exchange.TargetPlace, gate: i.Target.Gate}
			if said, err := target.said(ctx, m); err != nil || said == nil {
				return nil, err
			}
			if inv, err := l.chamber.Inventory(m); err != nil || inv == nil {
				return nil, err
			}
			if left, err := l.chamber.Remains(m); err != nil || len(left) > 0 {
				return nil, err
			}
			return nil, exchange.ByHand(w.Gate, verb)
		case exchange.Search, exchange.Certify:
			return nil, exchange.ByHand(w.Gate, verb)
		}
	}
	text, err := l.current(ctx, m, kindDraft)
	if err != nil || text == nil {
		return nil, err
	}
	c := &evidence.Certificate{}
	return c, json.Unmarshal(text, c)
}

// lookedByHand tells whether a gate without a line cosigned the journal as it stands.
func (l *Lock) lookedByHand(ctx context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint) (bool, error) {
	if hand, err := l.noLine(ctx, gate); err != nil || !hand {
		return false, err
	}
	s, err := l.Cosigned(ctx, m, gate)
	if err != nil || s == nil {
		return false, err
	}
	h, err := evidence.ParseHead(s.Body)
	if err != nil {
		return false, err
	}
	size, err := l.store.Size(ctx, string(m))
	return h.Size == size, err
}

// kindDraft is a certificate that both gates are still to sign.
const kindDraft = "certificate-draft"

// draft keeps the certificate that both gates are to sign, where one signs by hand.
func (l *Lock) draft(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction, c *evidence.Certificate) error {
	if hand, err := l.noLine(ctx, i.Source.Gate); err != nil || !hand {
		return err
	}
	text, err := evidence.EncodeJSON(c)
	if err != nil {
		return err
	}
	event := journal.Event{Tree: string(m), Type: journal.DocumentStored, IDs: map[string]string{"document": ecluse.DigestOf(text).String(), "kind": kindDraft}}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		d, err := tx.AddDocument(ctx, kindDraft, m, text)
		if err != nil {
			return err
		}
		return tx.SetCurrent(ctx, m, kindDraft, d)
	})
}
