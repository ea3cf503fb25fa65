package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/hostiletest"
	"ecluse/internal/mandate"
)

// TestHostileChunks: what is dropped, doubled or put in another's place never reaches
// the target.
func TestHostileChunks(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Sealed, 40))
	l.loading()
	l.stopGates()
	source, target := l.gates()
	lend(t, source, l.d.Read("instruction.yaml"))
	slots := func(change func([]evidence.Signed) []evidence.Signed) hostiletest.Lie {
		return hostiletest.Lie{Path: hostiletest.About("/slots"), Change: hostiletest.JSON(t, func(v *hostiletest.Items[evidence.Signed]) { v.Items = change(v.Items) })}
	}
	chunk := hostiletest.About("/chunks/.*")
	var kept *hostiletest.Answer // an earlier chunk
	for _, c := range []struct {
		name, words string
		lies        []hostiletest.Lie
	}{
		{"one dropped", "", []hostiletest.Lie{slots(func(s []evidence.Signed) []evidence.Signed { return s[1:] })}},
		{"all dropped", "", []hostiletest.Lie{slots(func([]evidence.Signed) []evidence.Signed { return nil })}},
		{"one twice", "it is there twice", []hostiletest.Lie{slots(func(s []evidence.Signed) []evidence.Signed { return append(s, s[0]) })}},
		{"one altered", "", []hostiletest.Lie{slots(func(s []evidence.Signed) []evidence.Signed {
			s[0].Body = flipped(s[0].Body, len(s[0].Body)/2)
			return s
		})}},
		{"a byte of one", "", []hostiletest.Lie{{Path: chunk, Change: func(a *hostiletest.Answer) { a.Body = flipped(a.Body, len(a.Body)/2) }}}},
		{"one cut", "", []hostiletest.Lie{{Path: chunk, Change: func(a *hostiletest.Answer) { a.Body = a.Body[:len(a.Body)-1] }}}},
		{"one longer", "", []hostiletest.Lie{{Path: chunk, Change: func(a *hostiletest.Answer) { a.Body = append(a.Body, 0) }}}},
		{"one in another's place", "another chunk came than was listed", []hostiletest.Lie{{Path: chunk, Change: func(a *hostiletest.Answer) {
			now := *a
			if kept != nil {
				a.Header, a.Body = kept.Header, kept.Body
			}
			kept = &now
		}}}},
		{"the body of another", "", []hostiletest.Lie{{Path: chunk, Change: func(a *hostiletest.Answer) {
			if kept != nil && len(kept.Body) != len(a.Body) {
				a.Body = kept.Body
			}
		}}}},
	} {
		l.Lie(c.lies...)
		refusal(t, c.name, load(t, target), ecluse.Unverified, c.words)
		if l.Told() == 0 {
			t.Errorf("%s: nobody was lied to", c.name)
		}
	}
	// Listed in another order they are the same chunks: each says where it belongs.
	l.Lie(slots(func(s []evidence.Signed) []evidence.Signed {
		for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
			s[i], s[j] = s[j], s[i]
		}
		return s
	}))
	v, err := target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
	if err != nil || !v.Statement.Compared.Equal {
		t.Errorf("listed backwards: %v", err)
	}
}

// TestHostileEarly: a server that says «stored» and stores nothing is found out before
// the manifest is closed, or by the target gate, which misses what the manifest names.
func TestHostileEarly(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 40))
	l.reading()
	l.loading()
	l.stopGates()
	source, target := l.gates()
	lend(t, source, l.d.Read("instruction.yaml"))
	dropped := 0
	l.Lie(hostiletest.Lie{Method: http.MethodPut, Path: hostiletest.About("/chunks"), Times: 1, Instead: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		dropped++
		_, _ = io.Copy(io.Discard, r.Body)
		s := evidence.Signed{}
		if err := json.Unmarshal(unbase64(t, r.Header.Get("Ecluse-Descriptor")), &s); err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(rw).Encode(s)
	})})
	refusal(t, "the manifest", read(t, source), ecluse.Unverified, "the lock has not what it said that it stored")
	if dropped != 1 {
		t.Fatal("no chunk was dropped")
	}
	// Read again, what is missing is sent again.
	l.Lie()
	if err := read(t, source); err != nil {
		t.Fatal(err)
	}
	// A server that goes on lying about what it has gets its manifest, and the target
	// gate finds the hole.
	chunks := hostiletest.About("/chunks/.*")
	l.Lie(hostiletest.Lie{Path: chunks, Instead: hostiletest.Say(http.StatusNotFound, []byte(`{"kind":"invalid","what":"fetch chunk","why":"it is not there"}`))})
	if err := load(t, target); err == nil || !strings.Contains(err.Error(), "it is not there") {
		t.Errorf("loaded what is not there: %v", err)
	}
	l.Lie()
	if err := load(t, target); err != nil {
		t.Errorf("once it is there: %v", err)
	}
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Error(err)
	}
	return b
}

// asked is what a gate answers when the server asks something of it.
func asked(t *testing.T, l *liar, part string, w exchange.Work) *exchange.Answer {
	t.Helper()
	w.ID = "of-the-server"
	answers := make(chan exchange.Answer, 1)
	done := false
	l.Lie(
		hostiletest.Lie{Method: http.MethodGet, Path: hostiletest.About("/gate/work"), Instead: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			all := hostiletest.Items[exchange.Work]{Items: []exchange.Work{}}
			if !done {
				all.Items = append(all.Items, w)
			} else {
				time.Sleep(50 * time.Millisecond)
			}
			_ = json.NewEncoder(rw).Encode(all)
		})},
		hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/progress"), Instead: hostiletest.Say(http.StatusNoContent, nil)},
		hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/answer"), Instead: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var a exchange.Answer
			if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
				t.Error(err)
			}
			rw.WriteHeader(http.StatusNoContent)
			select {
			case answers <- a:
			default:
			}
		})},
	)
	stop := l.r.Elsewhere(t.Context(), func(at exchange.Place, _ ssh.Signer) gate.Lock {
		if string(at) == part {
			return l.seat(part)
		}
		return nowhere{}
	})
	defer stop()
	select {
	case a := <-answers:
		return &a
	case <-time.After(30 * time.Second):
		t.Fatal("the gate does not answer")
		return nil
	}
}

// TestHostileErasure: a gate signs no certificate of what it did not do.
func TestHostileErasure(t *testing.T) {
	t.Parallel()
	// What an honest certificate looks like, of the same gates.
	erased := roomtest.At(t, roomtest.Erased, 3)
	v, err := erased.Open().Evidence(t.Context(), "", erased.Join("evidence"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(v.Dir + "/" + evidence.FileCertificate)
	if err != nil {
		t.Fatal(err)
	}
	l := liarOf(t, roomtest.At(t, roomtest.Accepted, 3))
	for _, part := range []string{"source", "target"} {
		a := asked(t, l, part, exchange.Work{Verb: exchange.Certify, Migration: roomtest.Migration, Papers: map[string][]byte{exchange.PaperCertificate: text}})
		refusal(t, part, a.Err(), ecluse.Unverified, "this gate has not erased its half of the key")
		a = asked(t, l, part, exchange.Work{Verb: exchange.SignBundle, Migration: roomtest.Migration, Papers: map[string][]byte{exchange.PaperSums: []byte("x")}})
		refusal(t, part+", evidence", a.Err(), ecluse.Unverified, "the certificate that this gate signed is not in it")
	}
}

// TestHostileEvidence: evidence that the server altered on its way does not verify, and
// the line says which file; a root of its own is not believed by who holds the right
// ones.
func TestHostileEvidence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*exchange.Bundle)
		line   string
	}{
		"certificate": {func(b *exchange.Bundle) { change(b, evidence.FileCertificate, "\"erased\"", "\"undone\"") }, evidence.FileCertificate + " was altered"},
		"read plan":   {func(b *exchange.Bundle) { change(b, evidence.FileReadPlan, "NOM", "NOX") }, evidence.FileReadPlan + " was altered"},
		"a leaf gone": {func(b *exchange.Bundle) { cutLine(b, evidence.FileLeaves) }, evidence.FileLeaves + " was altered"},
		"an act gone": {func(b *exchange.Bundle) {
			for i, f := range b.Files {
				if strings.HasPrefix(f.Name, "acts/") {
					b.Files = append(b.Files[:i:i], b.Files[i+1:]...)
					return
				}
			}
		}, "is listed and not there"},
	} {
		l := liarOf(t, roomtest.At(t, roomtest.Erased, 3))
		l.Lie(hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/evidence"), Change: hostiletest.JSON(t, c.change)})
		// A receipt may contradict it already; the folder is there either way.
		_, err := l.desk(roomtest.Claire).Evidence(t.Context(), "", l.d.Join("evidence"))
		if err != nil {
			t.Log(name, err)
		}
		report := evidence.Verify(os.DirFS(l.d.Join("evidence")), l.d.Roots())
		if report.OK() || !strings.Contains(report.Text(), c.line) {
			t.Errorf("%s:\n%s", name, report.Text())
		}
	}
	l := liarOf(t, roomtest.At(t, roomtest.Erased, 3))
	l.Lie(hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/evidence"), Change: hostiletest.JSON(t, func(b *exchange.Bundle) {
		b.Roots[ecluse.Controller] = "SHA256:x; rm -r ."
	})})
	_, err := l.desk(roomtest.Claire).Evidence(t.Context(), "", l.d.Join("evidence"))
	refusal(t, "a root that is a command", err, ecluse.Unverified, "no key's fingerprint")
}

func change(b *exchange.Bundle, name, old, with string) {
	for i, f := range b.Files {
		if f.Name == name {
			b.Files[i].Body = []byte(strings.Replace(string(f.Body), old, with, 1) + " ")
		}
	}
}

func cutLine(b *exchange.Bundle, name string) {
	for i, f := range b.Files {
		if f.Name == name {
			_, rest, _ := strings.Cut(string(f.Body), "\n")
			b.Files[i].Body = []byte(rest)
		}
	}
}

// TestHostileSuspension: a server that takes a suspension in and keeps it from both
// gates, by showing them the journal as it would be without, can do so; the receipt that
// the person was given contradicts the evidence.
func TestHostileSuspension(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	without, other := l.earlier()
	t.Cleanup(other.Elsewhere(t.Context(), func(exchange.Place, ssh.Signer) gate.Lock { return nowhere{} }))
	claire := l.desk(roomtest.Claire)
	kept := func() []evidence.Kept {
		t.Helper()
		all, err := evidence.Receipts(os.DirFS(desk.ReceiptsOf(l.d.Join("room", "plans"), roomtest.Migration)))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := kept()
	if _, err := claire.Suspend(t.Context(), desk.Order{Because: "a question is open", Key: l.d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	l.Lie(hostiletest.Lie{Path: hostiletest.About(".*"), Instead: without})
	defer l.r.Elsewhere(t.Context(), func(at exchange.Place, _ ssh.Signer) gate.Lock { return l.seat(string(at)) })()
	marc := l.desk(roomtest.Marc)
	if _, err := marc.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final}); err != nil {
		t.Fatal(err)
	}
	if _, err := claire.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: l.d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if _, err := marc.Due(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := claire.Evidence(t.Context(), "", l.d.Join("evidence"))
	refusal(t, "the evidence", err, ecluse.Unverified, "the lock kept two")
	// Alone the folder holds together: what contradicts it is the receipt.
	bundle := os.DirFS(l.d.Join("evidence"))
	report := evidence.Verify(bundle, l.d.Roots())
	if !report.OK() {
		t.Error(report.Text())
	}
	all := kept()
	if len(all) != len(before)+2 {
		t.Fatalf("%d receipts, and %d before suspension and acceptance", len(all), len(before))
	}
	hidden := report.CheckReceipts(bundle, all)
	if len(hidden) != 1 || slices.ContainsFunc(before, func(b evidence.Kept) bool { return b.Act == hidden[0].Act }) || report.OK() || !strings.HasPrefix(report.Text(), evidence.VerdictKO+"\n") || !strings.Contains(report.Text(), "the lock kept two") {
		t.Errorf("hidden %+v\n%s", hidden, report.Text())
	}
}

// TestHostileReceipt: an act without a receipt that holds is said not to count.
func TestHostileReceipt(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	acts := func(change func(*exchange.Receipt)) hostiletest.Lie {
		return hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/acts"), Change: hostiletest.JSON(t, change)}
	}
	for name, change := range map[string]func(*exchange.Receipt){
		"none":           func(r *exchange.Receipt) { r.Head = evidence.Signed{} },
		"of another act": func(r *exchange.Receipt) { r.Act = ecluse.DigestOf([]byte("x")) },
		"altered":        func(r *exchange.Receipt) { r.Head.Body = flipped(r.Head.Body, len(r.Head.Body)-3) },
		"of another tree": func(r *exchange.Receipt) {
			head, _, err := l.r.Lock().Head(t.Context(), ecluse.MigrationID(evidence.InstallationTree), 0)
			if err != nil {
				t.Error(err)
			}
			r.Head = head
		},
	} {
		l.Lie(acts(change))
		_, err := l.desk(roomtest.Claire).Suspend(t.Context(), desk.Order{Because: "a question is open", Key: l.d.Key(roomtest.Claire)})
		refusal(t, name, err, ecluse.Unverified, "read the receipt")
		l.Lie()
		if _, err := l.desk(roomtest.Claire).Resume(t.Context(), desk.Order{Because: "it is answered", Key: l.d.Key(roomtest.Claire)}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHostileSuspensionAtOneGate: a server that asks for no stop, and keeps a suspension
// from one of the gates, stops the loading nonetheless when the lease ends: the other gate
// does not lend, or does not borrow.
func TestHostileSuspensionAtOneGate(t *testing.T) {
	t.Parallel()
	for name, dark := range map[string]exchange.Place{"kept from the target gate": exchange.TargetPlace, "kept from the source gate": exchange.SourcePlace} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := liarOf(t, roomtest.At(t, roomtest.Sealed, 40))
			l.loading()
			_, without := l.earlier() // the lock as it is without the suspension
			l.stopGates()
			t.Cleanup(without.Elsewhere(t.Context(), func(exchange.Place, ssh.Signer) gate.Lock { return nowhere{} }))
			// The gate in the dark sees nothing else; the other gets the papers as they are.
			var papers gate.Papers = without.Lock()
			if dark == exchange.SourcePlace {
				papers = l.r.Lock()
			}
			mid := &midway{Lock: without.Lock(), papers: papers}
			of := gate.Lock(&midway{Lock: without.Lock(), papers: l.r.Lock()})
			if dark == exchange.SourcePlace {
				of = without.Lock()
			}
			source, err := app.Source(l.d.Join("room", "source"), of)
			if err != nil {
				t.Fatal(err)
			}
			target, err := app.Target(l.d.Join("room", "target"), mid)
			if err != nil {
				t.Fatal(err)
			}
			i, err := mandate.ParseInstruction("instruction", l.d.Read("instruction.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			refused := make(chan error, 1)
			go func() {
				for ctx.Err() == nil {
					if err := source.Lend(ctx, i); err != nil && ctx.Err() == nil {
						refused <- err
						cancel() // the target gate would wait for two minutes
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
			mid.then = func() {
				if _, err := l.r.Suspend(t.Context(), desk.Order{Because: "a question is open", Key: l.d.Key(roomtest.Claire)}); err != nil {
					t.Error(err)
				}
				target.ForgetLease(roomtest.Migration) // a quarter of an hour later
			}
			_, err = target.Load(ctx, roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
			if err == nil || mid.got < 2 {
				t.Fatalf("loaded to the end: %v, %d chunks", err, mid.got)
			}
			if dark == exchange.TargetPlace {
				select {
				case err = <-refused:
				default:
				}
			}
			refusal(t, name, err, ecluse.Refused, "suspended by")
		})
	}
}

// midway is a lock that shows the papers of another, and has something happen once the
// second chunk is fetched.
type midway struct {
	gate.Lock
	papers gate.Papers
	then   func()
	got    int
}

func (w *midway) Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Case, error) {
	return w.papers.Case(ctx, m, kind)
}

func (w *midway) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	if w.got++; w.got == 2 {
		w.then()
	}
	return w.Lock.Get(ctx, m, s)
}
