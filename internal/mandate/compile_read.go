package mandate

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// ReadInputs is all that a read plan is made of.
type ReadInputs struct {
	Contract    *Contract
	Instruction *Instruction
	Source      *ecluse.Catalogue
	Recipient   evidence.Signed // recipient/v1 of the target gate: chunks are sealed to it
	Rejects     evidence.Signed // recipient/v1 of the source gate: rejects are sealed to it
	Procedure   ecluse.Digest   // of the procedure this program follows
	Dialect     Dialect
}

// CompileRead makes the read plan: the one the people approve and the one the
// gate compiles again. It is deterministic. A column that is missing, of another
// type or not allowed gives document.Problems at the instruction's own lines;
// what no signature could allow gives ecluse.Refused.
func CompileRead(in ReadInputs) (*ReadPlan, error) {
	i, c := in.Instruction, in.Contract
	if i.Contract != c.digest {
		return nil, &ecluse.Error{
			Kind: ecluse.Differs, What: "compile read plan", Where: i.lines.File(), Article: lawChapeau,
			Why: "the instruction is under another contract: " + i.Contract.String(), Next: "give the contract it names",
		}
	}
	if err := sameEngine("compile read plan", in.Source.Engine, in.Dialect); err != nil {
		return nil, err
	}
	if err := checkRecipients(in); err != nil {
		return nil, err
	}
	return compileRead(in)
}

// SketchRead compiles an instruction before the gates have made their recipients:
// a plan to look at, which names none and so can never be approved.
func SketchRead(in ReadInputs) (*ReadPlan, error) {
	if err := sameEngine("compile read plan", in.Source.Engine, in.Dialect); err != nil {
		return nil, err
	}
	in.Recipient, in.Rejects = evidence.Signed{}, evidence.Signed{}
	return compileRead(in)
}

func compileRead(in ReadInputs) (*ReadPlan, error) {
	i, c := in.Instruction, in.Contract
	p := &ReadPlan{
		Format: ReadPlanFormat, Migration: i.ID, Contract: c.digest, Instruction: i.digest, Procedure: in.Procedure,
		Source:    PlanPlace{Gate: i.Source.Gate, System: i.Source.System, Engine: in.Source.Engine},
		Target:    PlanPlace{Gate: i.Target.Gate, System: i.Target.System},
		Recipient: in.Recipient.Digest(), Rejects: in.Rejects.Digest(),
		Consistency: i.Source.Consistency,
		MayAlsoRead: i.Accounts.Source.MayAlsoRead, Because: i.Accounts.Source.Because,
		Limits: PlanLimits{
			Rows: int64(i.Limits.Rows), Bytes: int64(i.Limits.Bytes),
			Window: i.Limits.Window, QueriesPerSecond: i.Limits.QueriesPerSecond, LoadPause: i.Limits.LoadPause, Lease: i.Limits.Lease,
		},
		EraseBy: i.EraseBy.UTC().Truncate(time.Second), Untried: i.Passages.Untried, CatchUps: i.Passages.CatchUp,
	}
	k := &readCompiler{in: in, plan: p, problems: problems{lines: i.lines}}
	if f := i.Source.Frozen; f != nil {
		p.Frozen = &PlanFreeze{By: f.By, From: f.From.UTC()}
	}
	k.deadline()
	k.consistency()
	k.loadPause()
	for id, d := range i.Datasets.All() {
		k.dataset(id, d)
	}
	for id, d := range i.Datasets.All() {
		k.within(id, d)
	}
	for name, check := range i.Checks.All() {
		k.check(name, check)
	}
	k.reach()
	if err := k.problems.err("compile read plan"); err != nil {
		return nil, err
	}
	if err := k.verdicts(); err != nil {
		return nil, err
	}
	return p, k.statements()
}

// checkRecipients verifies that both recipients were made for this instruction
// by the gates it names.
func checkRecipients(in ReadInputs) error {
	for _, r := range []struct {
		signed  evidence.Signed
		gate    ecluse.Fingerprint
		purpose string
	}{
		{in.Recipient, in.Instruction.Target.Gate, evidence.ForChunks},
		{in.Rejects, in.Instruction.Source.Gate, evidence.ForRejects},
	} {
		if _, err := recipientFor(in.Instruction, r.signed, r.gate, r.purpose); err != nil {
			return err
		}
	}
	return nil
}

func recipientFor(i *Instruction, s evidence.Signed, gate ecluse.Fingerprint, purpose string) (*evidence.Recipient, error) {
	what := "check recipient for " + purpose
	r, err := evidence.ParseRecipient(s, gate)
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: what, Why: "it is not signed by the gate that the instruction names, " + string(gate), Err: err,
			Next: "let that gate make its recipient again",
		}
	}
	if r.Migration != i.ID || r.Instruction != i.digest || r.Purpose != purpose {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Why: "it was made for another migration, instruction or purpose",
			Next: "let the gate make one for this instruction",
		}
	}
	return r, nil
}

// readCompiler holds what is found while a plan is made.
type readCompiler struct {
	in   ReadInputs
	plan *ReadPlan
	problems
}

func (k *readCompiler) deadline() {
	if end := k.in.Contract.EraseBy(); k.in.Instruction.EraseBy.After(end) {
		k.add("erase_by", "is after "+end.Format(time.RFC3339)+", the last day the contract leaves for erasing", "GDPR art. 28(3)(g)")
	}
	if d := k.in.Instruction.RejectsUntil; d != nil && d.Ends().After(k.in.Contract.EraseBy()) {
		k.add("rejects_until", "is after "+k.in.Contract.EraseBy().Format(time.RFC3339)+", the last day the contract leaves for erasing", "GDPR art. 28(3)(g)")
	}
}

// consistency refuses what the engine's reader does not do: a word that is signed
// and not kept would be worse than none.
func (k *readCompiler) consistency() {
	if can := k.in.Dialect.Consistencies(); !slices.Contains(can, k.plan.Consistency) {
		k.add("source.consistency", fmt.Sprintf("%s is not read %s: want %s", k.in.Source.Engine, k.plan.Consistency, strings.Join(can, " or ")), "")
	}
}

// loadPause refuses to pause by what the engine cannot tell, for the same reason.
func (k *readCompiler) loadPause() {
	if k.plan.Limits.LoadPause > 0 && !k.in.Dialect.TellsLoad() {
		k.add("limits.load_pause", fmt.Sprintf("%s cannot tell who is at work: use queries_per_second and window", k.in.Source.Engine), "")
	}
}

func (k *readCompiler) dataset(id string, d *Dataset) {
	at := "datasets." + id
	out := ReadDataset{Dataset: ecluse.DatasetID(id), From: d.From, Distinct: d.Distinct != "", Key: d.Key}
	t, ok := k.in.Source.Table(d.From)
	if !ok {
		k.add(at+".from", "the source has no table "+d.From.String()+near(d.From.String(), tableNames(k.in.Source)), lawOnly)
		return
	}
	out.Storage = t.Storage
	if k.plan.Consistency == Snapshot && slices.Contains([]string{"myisam", "aria", "memory", "csv", "archive", "merge"}, strings.ToLower(t.Storage)) {
		k.add(at+".from", t.Name.String()+" is stored as "+t.Storage+", which has no snapshot: use consistency locked, frozen or reread", "")
	}
	out.Rows = d.Rows
	out.KeyUnique = len(d.Key) > 0 && uniqueKey(t, d.Key)
	if d.Distinct != "" {
		c := &Column{Class: d.Class, As: d.As, Because: d.Because}
		col, ok := k.column(at+".distinct", t, d.Distinct, c)
		if ok && col.Type.Kind != ecluse.Text {
			k.add(at+".distinct", fmt.Sprintf("%s is %s: distinct values are texts, compared by bytes; ask for it as: text", d.Distinct, col.Type), "")
		}
		ordinal := ReadColumn{Name: ordinalColumn, Class: ecluse.Technical, Type: ecluse.Type{Kind: ecluse.Int}, Declared: "counted by Écluse"}
		out.Columns = append(out.Columns, col, ordinal)
	}
	for name, c := range d.Columns.All() {
		col, _ := k.column(at+".columns."+name, t, name, c)
		out.Columns = append(out.Columns, col)
	}
	for n, w := range d.Where {
		out.Where = append(out.Where, k.condition(fmt.Sprintf("%s.where[%d]", at, n), t, w))
	}
	k.plan.Datasets = append(k.plan.Datasets, out)
}

// uniqueKey tells whether key holds exactly the columns of the table's primary
// key or of another key without NULLs.
func uniqueKey(t *ecluse.Table, key []string) bool {
	same := func(other []string) bool {
		a, b := slices.Sorted(slices.Values(key)), slices.Sorted(slices.Values(other))
		return slices.Equal(a, b)
	}
	return same(t.PrimaryKey) || slices.ContainsFunc(t.Unique, same)
}

// opaque are declared types inside which a column holds other columns.
var opaque = regexp.MustCompile(`(?i)^(jsonb?|xml|hstore|bytea|[a-z]*blob)\b`)

// smallBytes is the longest binary column that can be a key and not a document
// (a UUID has 16 bytes, a SHA-512 64).
const smallBytes = 64

func (k *readCompiler) column(at string, t *ecluse.Table, name string, c *Column) (ReadColumn, bool) {
	col, ok := t.Column(name)
	if !ok {
		k.add(at, t.Name.String()+" has no column "+name+near(name, columnNames(t)), lawOnly)
		return ReadColumn{}, false
	}
	if !k.in.Contract.covers(c.Class) {
		k.add(at, fmt.Sprintf("the contract does not name %s among the types of data", c.Class), lawChapeau)
	}
	whole := opaque.MatchString(col.Declared) || col.Type.Kind == ecluse.Bytes
	if whole && (col.MaxLength == 0 || col.MaxLength > smallBytes) && c.Class != ecluse.Document {
		k.add(at, fmt.Sprintf("%s is %s: choosing columns does not reach inside it, so its class is document, with a reason", name, col.Declared), "GDPR art. 5(1)(c)")
	}
	can, must := k.in.Dialect.TextType(col)
	if c.As != "" && !can && !must {
		k.add(at, fmt.Sprintf("%s (%s) cannot be read as text", name, col.Declared), "")
	}
	out := ReadColumn{
		Name: name, Class: c.Class, Type: col.Type, AsText: c.As != "" || must,
		Declared: col.Declared, Because: c.Because,
	}
	if out.AsText {
		out.Type = ecluse.Type{Kind: ecluse.Text}
	}
	return out, true
}

func (k *readCompiler) condition(at string, t *ecluse.Table, w Condition) ReadCondition {
	out := ReadCondition{Column: w.Column, NotNull: w.NotNull}
	col, ok := t.Column(w.Column)
	if !ok {
		k.add(at+".column", t.Name.String()+" has no column "+w.Column+near(w.Column, columnNames(t)), lawOnly)
		return out
	}
	out.Type = col.Type
	read := func(field, s string, how func(ecluse.Type, string) (string, error)) string {
		v, err := how(col.Type, s)
		if err != nil {
			k.add(at+"."+field, fmt.Sprintf("%s is %s: %s", w.Column, col.Type, err), "")
		}
		return v
	}
	if w.From != "" {
		out.From = read("from", w.From, bound)
	}
	if w.Before != "" {
		out.Before = read("before", w.Before, bound)
	}
	for n, s := range w.In {
		out.In = append(out.In, read(fmt.Sprintf("in[%d]", n), s, oneOf))
	}
	return out
}

// within resolves the datasets that a dataset's rows refer to, once all are
// known; circles were refused when the instruction was read.
func (k *readCompiler) within(id string, d *Dataset) {
	mine, ok := k.plan.Dataset(ecluse.DatasetID(id))
	t, known := k.in.Source.Table(d.From)
	if !ok || !known {
		return
	}
	for other, columns := range d.Within.All() {
		at := "datasets." + id + ".within." + other
		theirs, ok := k.plan.Dataset(ecluse.DatasetID(other))
		if !ok {
			continue
		}
		if !theirs.KeyUnique {
			k.add(at, fmt.Sprintf("the key of %s (%s) is not unique in the source", other, strings.Join(theirs.Key, ", ")), "")
		}
		target, _ := k.in.Source.Table(theirs.From)
		for n, name := range *columns {
			col, ok := t.Column(name)
			if !ok {
				k.add(at, t.Name.String()+" has no column "+name+near(name, columnNames(t)), lawOnly)
				continue
			}
			if key, ok := target.Column(theirs.Key[n]); ok && key.Type.Kind != col.Type.Kind {
				k.add(at, fmt.Sprintf("%s is %s and %s.%s is %s: they cannot be compared", name, col.Type, other, key.Name, key.Type), "")
			}
		}
		mine.Within = append(mine.Within, ReadWithin{Dataset: theirs.Dataset, Columns: *columns})
	}
}

func (k *readCompiler) check(name string, c *Check) {
	d, ok := k.plan.Dataset(c.Dataset)
	if !ok {
		return
	}
	at := "checks." + name
	out := ReadCheck{Name: name, Dataset: c.Dataset, Count: c.Count || c.CountBy != "", Sum: c.Sum, First: c.First, Last: c.Last, By: c.By + c.CountBy}
	kinds := func(field, column, want string, allowed ...ecluse.DataKind) {
		if col, ok := d.Column(column); ok && !slices.Contains(allowed, col.Type.Kind) {
			k.add(at+"."+field, fmt.Sprintf("%s is %s: want %s", column, col.Type, want), "")
		}
	}
	kinds("sum", c.Sum, "an exact number", ecluse.Int, ecluse.Decimal, ecluse.Number)
	ordered := []ecluse.DataKind{ecluse.Date, ecluse.Time, ecluse.Timestamp, ecluse.Instant, ecluse.Int, ecluse.Decimal, ecluse.Number}
	kinds("first", c.First, "a date, a time or an exact number", ordered...)
	kinds("last", c.Last, "a date, a time or an exact number", ordered...)
	k.plan.Checks = append(k.plan.Checks, out)
}

// reach checks that what the account may also read exists: an instruction does
// not allow what it cannot name.
func (k *readCompiler) reach() {
	r := k.in.Instruction.Accounts.Source.MayAlsoRead
	if r.All() {
		return
	}
	known := map[string]bool{}
	for _, t := range k.in.Source.Tables {
		for _, c := range t.Columns {
			known[columnName(t.Name, c.Name)] = true
		}
	}
	for n, s := range r {
		if !known[s] {
			k.add(fmt.Sprintf("accounts.source.may_also_read[%d]", n), "the source has no "+s, "")
		}
	}
}

// columnName is how a column is written with its table.
func columnName(t ecluse.TableName, column string) string { return t.String() + "." + column }

func (k *readCompiler) statements() error {
	var err error
	for n := range k.plan.Datasets {
		d := &k.plan.Datasets[n]
		if v, ok := k.in.Dialect.(ViewNamer); ok {
			d.View = v.ViewName(k.plan, d)
		}
	}
	for n := range k.plan.Datasets {
		d := &k.plan.Datasets[n]
		if d.Statement, err = k.in.Dialect.ReadStatement(k.plan, d); err != nil {
			return compiling("dataset "+string(d.Dataset), err)
		}
	}
	for n := range k.plan.Checks {
		c := &k.plan.Checks[n]
		if c.Statement, err = k.in.Dialect.CheckStatement(k.plan, c); err != nil {
			return compiling("check "+c.Name, err)
		}
	}
	return nil
}

// sameEngine refuses a dialect of another engine than the catalogue's.
func sameEngine(what string, e ecluse.Engine, d Dialect) error {
	if d.Engine() == e {
		return nil
	}
	return ecluse.Errorf(ecluse.Invalid, what, "the catalogue is %s and the dialect %s", e, d.Engine())
}

func compiling(where string, err error) error {
	var e *ecluse.Error
	if errors.As(err, &e) {
		return err
	}
	return &ecluse.Error{Kind: ecluse.Invalid, What: "compile plan", Where: where, Err: err}
}
