package evidence

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"ecluse"
)

// Builder gathers the files of a bundle. It decides nothing: what belongs into a
// bundle is the caller's to know and Verify's to check. Adding stops at the
// first call to Sums.
type Builder struct {
	files map[string][]byte
	sums  []byte          // once asked for
	sigs  map[Gate][]byte // over sums
	err   error           // the first wrong name
}

// NewBuilder begins a bundle, with verify.sh in it.
func NewBuilder() *Builder {
	return &Builder{files: map[string][]byte{FileScript: Script()}, sigs: map[Gate][]byte{}}
}

// Add puts a file into the bundle. A wrong or repeated name is reported here and
// again by Sums.
func (b *Builder) Add(name string, body []byte) error {
	err := b.add(name, body)
	if b.err == nil {
		b.err = err
	}
	return err
}

func (b *Builder) add(name string, body []byte) error {
	const what = "add to bundle"
	old, taken := b.files[name]
	switch {
	case b.sums != nil:
		return invalid(what, "%s comes after the sums were taken", name)
	case !plainName(name) || !bundleNames.MatchString(name):
		return invalid(what, "%q is not a name of a bundle's file", name)
	case taken && !bytes.Equal(old, body):
		return invalid(what, "there are two different files %s", name)
	}
	b.files[name] = body
	return nil
}

func (b *Builder) addSigned(name string, s Signed) error {
	if err := b.Add(name, s.Body); err != nil {
		return err
	}
	return b.Add(name+sigSuffix, s.Signature)
}

// AddRoster adds a signed roster and its allowed signers.
func (b *Builder) AddRoster(s Signed) error {
	r, err := ParseRoster("roster", s.Body)
	if err != nil {
		return err
	}
	if err := b.Add(signersFile(r.Side, r.Number), r.AllowedSigners()); err != nil {
		return err
	}
	return b.addSigned(RosterFile(r.Side, r.Number), s)
}

// AddAct adds a signed act.
func (b *Builder) AddAct(s Signed) error { return b.addSigned(ActFile(s.Digest()), s) }

// AddGate adds what a gate says of itself, under its own signature.
func (b *Builder) AddGate(s Signed) error { return b.addSigned(GateFile(s.Digest()), s) }

// AddLoadPlan adds the load plan of a passage.
func (b *Builder) AddLoadPlan(p ecluse.Passage, plan []byte) error {
	return b.Add(LoadPlanFile(p), plan)
}

// AddFrozen adds a frozen table of a mapping.
func (b *Builder) AddFrozen(table []byte) error {
	return b.Add(FrozenFile(ecluse.DigestOf(table)), table)
}

// AddDocument adds another document that an act speaks of.
func (b *Builder) AddDocument(doc []byte) error {
	return b.Add(DocumentFile(ecluse.DigestOf(doc)), doc)
}

// AddRecipient adds a signed recipient.
func (b *Builder) AddRecipient(s Signed) error {
	r, err := decodeRecipient(s.Body)
	if err != nil {
		return err
	}
	return b.addSigned(RecipientFile(r.Purpose), s)
}

// AddPrivileges adds a gate's signed record of what its account could do.
func (b *Builder) AddPrivileges(g Gate, label string, s Signed) error {
	return b.addSigned(PrivilegesFile(g, label), s)
}

// AddChunk adds the signed descriptor of a chunk of the source gate.
func (b *Builder) AddChunk(s Signed) error { return b.addDescriptor(s, ChunkFile) }

// AddRejects adds the signed descriptor of rejects of the target gate.
func (b *Builder) AddRejects(s Signed) error { return b.addDescriptor(s, RejectsFile) }

func (b *Builder) addDescriptor(s Signed, name func(ecluse.Slot) string) error {
	d, err := decodeDescriptor(s.Body)
	if err != nil {
		return err
	}
	return b.addSigned(name(d.Slot), s)
}

// AddManifest adds the signed closing manifest.
func (b *Builder) AddManifest(s Signed) error { return b.addSigned(FileManifest, s) }

// AddReport adds the signed report.
func (b *Builder) AddReport(s Signed) error { return b.addSigned(FileReport, s) }

// AddErasure adds a gate's signed statement of what it destroyed.
func (b *Builder) AddErasure(g Gate, s Signed) error { return b.addSigned(ErasureFile(g), s) }

// AddStatement adds any other signed statement of a gate.
func (b *Builder) AddStatement(g Gate, s Signed) error {
	return b.addSigned(StatementFile(g, s.Digest()), s)
}

// AddLeaves adds the journal's leaves, as Leaf.Bytes gives them, from the first.
func (b *Builder) AddLeaves(leaves [][]byte) error {
	return b.Add(FileLeaves, append(bytes.Join(leaves, []byte("\n")), '\n'))
}

// AddHead adds a head of the journal with the lock's signature and both
// cosignatures.
func (b *Builder) AddHead(lock, source, target Signed) error {
	h, err := ParseHead(lock.Body)
	if err != nil {
		return err
	}
	name := HeadFile(h.Size)
	for by, s := range map[string]Signed{"lock": lock, string(SourceGate): source, string(TargetGate): target} {
		if err := b.Add(name, s.Body); err != nil {
			return err
		}
		if err := b.Add(sigBy(name, by), s.Signature); err != nil {
			return err
		}
	}
	return nil
}

// AddCertificate adds the certificate under both gates' signatures, and what is
// derived from it: README.txt, binary.txt, limits.txt.
func (b *Builder) AddCertificate(source, target Signed) error {
	c, err := decodeCertificate(source.Body)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		body []byte
	}{
		{FileCertificate, source.Body},
		{FileCertificate, target.Body},
		{sigBy(FileCertificate, string(SourceGate)), source.Signature},
		{sigBy(FileCertificate, string(TargetGate)), target.Signature},
		{FileReadme, c.Readme()},
		{FileBinary, c.binaryText()},
		{FileLimits, c.limitsText()},
	} {
		if err := b.Add(f.name, f.body); err != nil {
			return err
		}
	}
	return nil
}

// Sums closes the list of files and returns the SHA256SUMS that both gates sign
// under NamespaceBundle.
func (b *Builder) Sums() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.sums == nil {
		sums := make(map[string]ecluse.Digest, len(b.files))
		for name, body := range b.files {
			sums[name] = ecluse.DigestOf(body)
		}
		b.sums = FormatSums(sums)
	}
	return b.sums, nil
}

// AddSums adds a gate's signature over the SHA256SUMS.
func (b *Builder) AddSums(g Gate, s Signed) error {
	const what = "sign bundle"
	sums, err := b.Sums()
	if err != nil {
		return err
	}
	if !bytes.Equal(s.Body, sums) {
		return unverified(what, "the %s gate signed other sums", g)
	}
	if _, err := s.Verify(NamespaceBundle); err != nil {
		return err
	}
	b.sigs[g] = s.Signature
	return nil
}

// Write hands over every file, those that close the bundle last. Names are
// slash-separated and relative.
func (b *Builder) Write(write func(name string, body []byte) error) error {
	const what = "write bundle"
	sums, err := b.Sums()
	if err != nil {
		return err
	}
	for _, g := range []Gate{SourceGate, TargetGate} {
		if b.sigs[g] == nil {
			return invalid(what, "the %s gate has not signed", g)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		if err := write(name, b.files[name]); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	for _, f := range []struct {
		name string
		body []byte
	}{
		{FileSums, sums},
		{sigBy(FileSums, string(SourceGate)), b.sigs[SourceGate]},
		{sigBy(FileSums, string(TargetGate)), b.sigs[TargetGate]},
	} {
		if err := write(f.name, f.body); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return nil
}
