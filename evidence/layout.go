package evidence

import (
	"fmt"
	"regexp"
	"strings"

	"ecluse"
)

// Gate is one of the two gates, by its end of the passage.
type Gate string

// The gates.
const (
	SourceGate Gate = "source"
	TargetGate Gate = "target"
)

// Names of a bundle's files. A signature stands beside what it signs: NAME.sig,
// or NAME.source.sig, NAME.target.sig and NAME.lock.sig where several sign.
const (
	FileReadme      = "README.txt" // derived from the certificate
	FileSums        = "SHA256SUMS" // signed by both gates; lists every file but itself and its signatures
	FileScript      = "verify.sh"
	FileContract    = "contract.yaml"
	FileInstruction = "instruction.yaml"
	FileMapping     = "mapping.yaml" // of the last final passage that began; without one, the one in force
	FileReadPlan    = "readplan.json"
	FileManifest    = "manifest.json"
	FileLeaves      = "journal/leaves.jsonl" // one leaf a line
	FileReport      = "report.json"          // of the accepted passage, and only then
	FileCertificate = "certificate.json"     // signed by both gates
	FileBinary      = "binary.txt"           // derived from the certificate
	FileLimits      = "limits.txt"           // derived from the certificate
)

// RosterFile is a roster's name. Beside it stands the same name ending in
// .signers instead of .yaml, for ssh-keygen.
func RosterFile(side ecluse.Side, number int) string {
	return fmt.Sprintf("rosters/%s-%d.yaml", side, number)
}

func signersFile(side ecluse.Side, number int) string {
	return strings.TrimSuffix(RosterFile(side, number), ".yaml") + ".signers"
}

// ActFile is an act's name: the SHA-256 of its text.
func ActFile(d ecluse.Digest) string { return "acts/" + d.Hex() + ".act" }

// LoadPlanFile is the name of the load plan of a passage.
func LoadPlanFile(p ecluse.Passage) string { return "loadplan-" + p.String() + ".json" }

// FrozenFile is the name of a frozen table of a mapping.
func FrozenFile(d ecluse.Digest) string { return "frozen/" + d.Hex() }

// GateFile is the name of what a gate says of itself, gate/v1: the SHA-256 of its text.
func GateFile(d ecluse.Digest) string { return "gates/" + d.Hex() + ".yaml" }

// DocumentFile is the name of any other document that an act speaks of: earlier
// versions, dispositions.
func DocumentFile(d ecluse.Digest) string { return "documents/" + d.Hex() }

// RecipientFile is the name of a gate's recipient/v1.
func RecipientFile(purpose string) string { return "recipients/" + purpose + ".json" }

// PrivilegesFile is the name of a record of what a gate's database account could
// do. The label is of lower-case letters, digits and hyphens; those of the source
// end in "before" or "after": "1-before".
func PrivilegesFile(g Gate, label string) string {
	return fmt.Sprintf("privileges/%s-%s.json", g, label)
}

// ChunkFile is the name of the descriptor of a chunk sealed by the source gate.
func ChunkFile(s ecluse.Slot) string { return "chunks/" + s.String() + ".json" }

// RejectsFile is the name of the descriptor of rejects sealed by the target gate.
func RejectsFile(s ecluse.Slot) string { return "rejects/" + s.String() + ".json" }

// HeadFile is the name of the journal's head of that size.
func HeadFile(size int64) string { return fmt.Sprintf("journal/heads/%012d.txt", size) }

// ErasureFile is the name of a gate's own statement of what it destroyed.
func ErasureFile(g Gate) string { return "erasure/" + string(g) + ".json" }

// StatementFile is the name of any other statement of a gate: reports of other
// passages, what an undo took out.
func StatementFile(g Gate, d ecluse.Digest) string {
	return fmt.Sprintf("statements/%s-%s.json", g, d.Hex())
}

const sigSuffix = ".sig"

func sigBy(name string, by string) string { return name + "." + by + sigSuffix }

// plainName tells whether a name is one that every shell, archive and file
// system carries unharmed: letters, digits, dot, underscore and hyphen between
// slashes, no part empty or beginning with a dot.
func plainName(name string) bool {
	begins := true
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if !letter && (begins || c != '.' && c != '/') {
			return false
		}
		begins = c == '/'
	}
	return !begins
}

// bundleNames are the names a bundle may hold. What no check reads has no place
// in it.
var bundleNames = regexp.MustCompile(`^(` + strings.Join([]string{
	`README\.txt`, `verify\.sh`, `binary\.txt`, `limits\.txt`,
	`contract\.yaml`, `instruction\.yaml`, `mapping\.yaml`, `readplan\.json`,
	`loadplan-(dry|rehearsal|final)-[1-9][0-9]*\.json`,
	`(frozen|documents)/[0-9a-f]{64}`,
	`rosters/(controller|processor)-[1-9][0-9]*\.(yaml|yaml\.sig|signers)`,
	`acts/[0-9a-f]{64}\.act(\.sig)?`,
	`gates/[0-9a-f]{64}\.yaml(\.sig)?`,
	`recipients/(chunks|rejects)\.json(\.sig)?`,
	`privileges/(source|target)-[a-z0-9-]+\.json(\.sig)?`,
	`(chunks|rejects)/[A-Za-z0-9_][A-Za-z0-9_.-]*/[0-9]{6,}\.[0-9]+\.json(\.sig)?`,
	`(manifest|report)\.json(\.sig)?`,
	`erasure/(source|target)\.json(\.sig)?`,
	`statements/(source|target)-[0-9a-f]{64}\.json(\.sig)?`,
	`certificate\.json(\.(source|target)\.sig)?`,
	`journal/leaves\.jsonl`,
	`journal/heads/[0-9]{12,}\.txt(\.(lock|source|target)\.sig)?`,
}, "|") + `)$`)

// OneRoom, SourceByProcessor and TargetByProcessor are said in the first lines of evidence that
// they hold for.
const (
	OneRoomSentence           = "lock and gates stood on one machine, so both halves of the key did too"
	SourceByProcessorSentence = "the processor administers the source machine or its database: what left without Écluse is not seen here"
	TargetByProcessorSentence = "the processor administers the target machine or its database: it can read there what was loaded"
)

// warnings are the sentences that a reader must see first.
func (c *Certificate) warnings() []string {
	var out []string
	if c.OneRoom {
		out = append(out, OneRoomSentence)
	}
	if c.SourceAdmin == ecluse.Processor {
		out = append(out, SourceByProcessorSentence)
	}
	if c.TargetAdmin == ecluse.Processor {
		out = append(out, TargetByProcessorSentence)
	}
	// What is in backups was not destroyed. Chunks need a half of the key from each
	// gate; rows put aside need the source gate's identity alone.
	if day := both(c.Backups.SourceGate, c.Backups.TargetGate); day != "" {
		out = append(out, fmt.Sprintf("both gates' folders are in backups until %s: until then the key can be put together again from them", day))
	}
	if day := both(c.Backups.SourceGate, c.Backups.Lock); day != "" {
		out = append(out, fmt.Sprintf("the source gate's folder and the lock's are in backups until %s: until then rows put aside can be opened from them", day))
	}
	if c.Kept != nil {
		out = append(out, c.Kept.String())
		if day := c.Backups.SourceGate; day != NoBackup {
			out = append(out, fmt.Sprintf("the source gate's folder is in backups until %s: until then the rows kept there can be opened from them", day))
		}
	}
	if c.NotKept != "" {
		out = append(out, c.NotKept.String())
	}
	for _, l := range c.Left {
		out = append(out, l.String())
	}
	if c.InUse != nil {
		out = append(out, c.InUse.String())
	}
	for _, s := range c.Stayed {
		out = append(out, s.String())
	}
	return out
}

// places says what people signed about the places.
func (c *Certificate) places() string {
	return fmt.Sprintf("source administered by the %s, target by the %s; last backup expires, by the instruction: source gate %s, lock %s, target gate %s",
		c.SourceAdmin, c.TargetAdmin, c.Backups.SourceGate, c.Backups.Lock, c.Backups.TargetGate)
}

// firstLines are what a reader sees before anything else.
func (c *Certificate) firstLines() []string { return append(c.warnings(), c.places()) }

// Readme is the text of a bundle's README.txt.
func (c *Certificate) Readme() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Evidence of the migration %s\n", c.Migration)
	for _, w := range c.firstLines() {
		fmt.Fprintf(&b, "%s\n", w)
	}
	fmt.Fprintf(&b, `
Outcome of the load: %s. Erased on %s, by %s.
No patient's data are in this folder: names of tables and columns, counts, hashes, signatures.

To verify it, ask each party for the fingerprint of its root key (SHA256:...), by a way other
than this folder, then run either of

    ecluse verify . --controller SHA256:... --processor SHA256:...
    sh verify.sh --controller SHA256:... --processor SHA256:...

The second needs only sh, ssh-keygen, openssl, sha256sum, awk, sed, grep and sort. It prints every
command it runs. The first line says OK, KO, or KO not anchored (without the roots).

    SHA256SUMS          every file; signed by both gates (.source.sig, .target.sig)
    rosters/            who may sign what, signed by each party's root
    acts/               what people signed: ssh-keygen -Y verify -n act@ecluse
    contract.yaml, instruction.yaml, mapping.yaml, frozen/, documents/
    readplan.json       what could leave, and the verdict on every column
    loadplan-*.json     how it entered
    recipients/         the keys that chunks were sealed to
    privileges/         what the gates' database accounts could and could not read
    chunks/, rejects/   a signed descriptor of every sealed chunk; manifest.json closes the list
    journal/            every leaf of the journal, and its heads signed by lock and gates
    report.json         the comparison that was accepted, if one was
    statements/         the gates' other reports: of passages not accepted, of what was taken out again
    certificate.json    the erasure; erasure/ each gate's own word
    binary.txt          the program's SHA-256
    limits.txt          what this evidence does not say
`, c.Outcome, formatTime(c.Erased), c.Trigger)
	return []byte(b.String())
}

func (c *Certificate) binaryText() []byte {
	return fmt.Appendf(nil, "%s  %s\n", c.Binary.Hex(), c.Tool)
}

func (c *Certificate) limitsText() []byte {
	return []byte(strings.Join(append(c.warnings(), c.Limits...), "\n") + "\n")
}
