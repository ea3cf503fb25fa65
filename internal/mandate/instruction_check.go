package mandate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/evidence"
)

// Ways for a passage to see one state of the source.
const (
	Snapshot = "snapshot" // one transaction
	Locked   = "locked"   // one set of table locks
	Frozen   = "frozen"   // somebody's word that nobody writes
	Reread   = "reread"   // read twice and compared
)

// ordinalColumn numbers the values of a distinct dataset.
const ordinalColumn = "ordinal"

func (i *Instruction) check(p *problems) {
	i.checkHead(p)
	if i.Datasets.Len() == 0 {
		p.add("datasets", "want at least one dataset", lawOnly)
	}
	special := map[ecluse.Class]bool{}
	for id, d := range i.Datasets.All() {
		i.checkDataset(p, "datasets."+id, id, d, special)
	}
	i.checkCycles(p)
	i.checkSensitive(p, special)
	for name, c := range i.Checks.All() {
		i.checkFigure(p, "checks."+name, name, c)
	}
	i.checkAccounts(p)
	i.checkPlaces(p)
	i.checkLimits(p)
	i.checkDeputies(p)
	i.checkKept(p)
}

// checkKept checks until when rows put aside may outlive the acceptance: where the
// laboratory alone can open them, and for as long as somebody works through a list.
func (i *Instruction) checkKept(p *problems) {
	const at = "rejects_until"
	if i.RejectsUntil == nil {
		return
	}
	ends := i.RejectsUntil.Ends()
	if i.Source.AdministeredBy != ecluse.Controller {
		p.add(at, "the processor administers the source: rows kept there would not be the laboratory's alone", "GDPR art. 28(3)(g)")
	}
	if ends.After(i.EraseBy.AddDate(0, 0, MostKeptDays)) {
		p.add(at, fmt.Sprintf("want a day at most %d days after erase_by", MostKeptDays), "GDPR art. 5(1)(e)")
	}
	if b := i.Backups.SourceGate; !b.None() && b.Until.Ends().Before(ends) {
		p.add("backups.source_gate.until", "a backup made until rejects_until cannot expire before it", "GDPR art. 28(3)(g)")
	}
}

// checkDeputies checks who may say go or no-go beside a signatory.
func (i *Instruction) checkDeputies(p *problems) {
	if len(i.Deputies) > maxDeputies {
		p.add("deputies", fmt.Sprintf("want at most %d", maxDeputies), "")
	}
	for n, id := range i.Deputies {
		at := fmt.Sprintf("deputies[%d]", n)
		if !evidence.ValidPerson(id) {
			p.add(at, "want a person's id in the controller's roster, such as anne-martin", "GDPR art. 29")
		}
		if slices.Contains(i.Deputies[:n], id) {
			p.add(at, "named twice", "")
		}
	}
}

// maxDeputies bounds who may decide in a night beside those who sign.
const maxDeputies = 10

// checkPlaces checks what the certificate of erasure will say of the places.
func (i *Instruction) checkPlaces(p *problems) {
	for at, side := range map[string]ecluse.Side{"source": i.Source.AdministeredBy, "target": i.Target.AdministeredBy} {
		if side != ecluse.Controller && side != ecluse.Processor {
			p.add(at+".administered_by", strconv.Quote(string(side))+" is not controller or processor", "GDPR art. 5(2)")
		}
	}
	for _, b := range []struct {
		at   string
		kept Backup
	}{{"source_gate", i.Backups.SourceGate}, {"lock", i.Backups.Lock}, {"target_gate", i.Backups.TargetGate}} {
		if !b.kept.None() && b.kept.Until.Ends().Before(i.EraseBy) {
			p.add("backups."+b.at+".until", "a backup made until erase_by cannot expire before it", "GDPR art. 28(3)(g)")
		}
	}
}

func (i *Instruction) checkHead(p *problems) {
	if i.Format != InstructionFormat {
		p.add("ecluse", "want "+InstructionFormat, "")
	}
	if !validID(string(i.ID)) {
		p.add("id", idRule, "")
	}
	if why := boilerplate(i.Purpose, prose); why != "" {
		p.add("purpose", why, "GDPR art. 5(1)(b)")
	}
	const fingerprint = "want SHA256: and 43 characters, the fingerprint of the gate's key"
	if !i.Source.Gate.Valid() {
		p.add("source.gate", fingerprint, "")
	}
	if !i.Target.Gate.Valid() {
		p.add("target.gate", fingerprint, "")
	}
	if i.Source.Gate == i.Target.Gate {
		p.add("target.gate", "is the source's gate: what is sealed by one is opened by another", "")
	}
	switch i.Source.Consistency {
	case Snapshot, Locked, Reread, Frozen:
		if (i.Source.Consistency == Frozen) != (i.Source.Frozen != nil) {
			p.add("source.frozen", "goes with consistency: frozen, and says by whom and from when", "")
		}
		if f := i.Source.Frozen; f != nil {
			if why := boilerplate(f.By, ""); why != "" {
				p.add("source.frozen.by", why, lawOnly)
			}
		}
	default:
		p.add("source.consistency", strconv.Quote(i.Source.Consistency)+" is not one of snapshot, locked, frozen, reread", "")
	}
	for _, k := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
		if n := i.Passages.Of(k); n < 0 || n > 1000 {
			p.add("passages."+string(k), "want a number from 0 to 1000", "")
		}
	}
	switch n := i.Passages.CatchUp; {
	case n < 0 || n > 1000:
		p.add("passages.catch_up", "want a number from 0 to 1000", "")
	case n > 0 && i.Source.Consistency == Frozen:
		p.add("passages.catch_up", "nobody writes in a frozen source: there is nothing to catch up with", "")
	case n > 0 && i.Source.Consistency == Reread:
		p.add("passages.catch_up", "a later reading sees the source as it is at one moment: goes with consistency: snapshot or locked", "")
	}
	if i.Passages.Rehearsal > 0 && i.Target.PreProduction == "" {
		p.add("passages.rehearsal", "a rehearsal goes into a system that target.pre_production names", lawOnly)
	}
}

// checkTried wants a dry run or a rehearsal before the final passage, or the reason why
// there is none, which the controller signs with the rest.
func (i *Instruction) checkTried(p *problems) {
	b := i.Passages
	switch none := b.Dry <= 0 && b.Rehearsal <= 0; {
	case b.Untried != "" && !none:
		p.add("passages.untried", "goes with dry: 0 and rehearsal: 0", "")
	case b.Untried != "":
		if why := boilerplate(b.Untried, ""); why != "" {
			p.add("passages.untried", why, triedBy)
		}
	case b.Final > 0 && none:
		p.add("passages", "grants no dry run and no rehearsal: no mapping can be tried before the final passage; want dry: 1 at least, or untried: and the reason", triedBy)
	}
}

// triedBy is where the law asks that measures be tried.
const triedBy = "GDPR art. 32(1)(d)"

func (i *Instruction) checkDataset(p *problems, at, id string, d *Dataset, special map[ecluse.Class]bool) {
	switch {
	case strings.HasPrefix(id, "ecluse."):
		p.add(at, "names that begin with ecluse. are taken", "")
	case !validDataset(id):
		p.add(at, "want at most 64 lower-case letters, digits, - and _, beginning with a letter", "")
	}
	noWildcard(p, at+".from", d.From.String())
	if d.Distinct != "" {
		i.checkDistinct(p, at, d)
		classed(p, at, d.Distinct, &Column{Class: d.Class, As: d.As, Because: d.Because}, special)
	} else {
		i.checkColumns(p, at, d, special)
	}
	if r := d.Rows; r != nil && (r.Expected < 1 || r.Tolerance < 0 || r.Expected > mostExpected || r.Tolerance > mostExpected) {
		p.add(at+".rows", fmt.Sprintf("want expected, a number of rows from 1, and tolerance, from 0: to %d at most", int64(mostExpected)), lawOnly)
	}
	for n, c := range d.Where {
		checkCondition(p, fmt.Sprintf("%s.where[%d]", at, n), &c)
	}
	for other, columns := range d.Within.All() {
		i.checkWithin(p, at+".within."+other, other, *columns)
	}
}

func (i *Instruction) checkDistinct(p *problems, at string, d *Dataset) {
	if d.Columns.Len() > 0 || len(d.Key) > 0 {
		p.add(at, "a dataset has columns and key, or distinct and class", "")
	}
	if d.Distinct == ordinalColumn {
		p.add(at+".distinct", "a distinct dataset numbers its values in a column of that name", "")
	}
}

func (i *Instruction) checkColumns(p *problems, at string, d *Dataset, special map[ecluse.Class]bool) {
	if d.Columns.Len() == 0 {
		p.add(at+".columns", "want at least one column: what is not named stays", lawOnly)
	}
	if d.Class != "" || d.As != "" || d.Because != "" {
		p.add(at, "class, as and because belong to each column", "")
	}
	for name, c := range d.Columns.All() {
		classed(p, at+".columns."+name, name, c, special)
	}
	for n, k := range d.Key {
		if _, ok := d.Columns.Get(k); !ok {
			p.add(fmt.Sprintf("%s.key[%d]", at, n), k+" is not among the columns: keys are columns like others", "")
		}
		if slices.Contains(d.Key[:n], k) {
			p.add(fmt.Sprintf("%s.key[%d]", at, n), k+" is given twice", "")
		}
	}
}

// classed checks a column's name and class.
func classed(p *problems, at, name string, c *Column, special map[ecluse.Class]bool) {
	noWildcard(p, at, name)
	switch {
	case c.Class == ecluse.Credential:
		p.refuse(at, "passwords, their hashes and log-ins are never migrated: people choose new ones", lawUnlawful)
		return
	case LooksLikeCredential(name):
		p.refuse(at, "its name is that of a password, hash, token or log-in, which are never migrated whatever class is written", lawUnlawful)
		return
	case !c.Class.Valid():
		p.add(at, unknownClass(c.Class), lawOnly)
		return
	}
	special[c.Class] = special[c.Class] || c.Class.Special()
	if c.As != "" && c.As != "text" {
		p.add(at+".as", "want text, or nothing", "")
	}
	if c.Class != ecluse.FreeText && c.Class != ecluse.Document {
		return
	}
	if c.Because == "" {
		p.add(at, fmt.Sprintf("a %s column holds more than its name says: write {class: %s, because: …}", c.Class, c.Class), "GDPR art. 5(1)(c)")
	} else if why := boilerplate(c.Because, prose); why != "" {
		p.add(at+".because", why, "GDPR art. 5(1)(c)")
	}
}

func noWildcard(p *problems, at, name string) {
	if name == "" || strings.ContainsAny(name, "*?\x00") || name == "%" {
		p.add(at, "want a name: an instruction names each thing, with no sign for several", lawOnly)
	}
}

func checkCondition(p *problems, at string, c *Condition) {
	noWildcard(p, at+".column", c.Column)
	if LooksLikeCredential(c.Column) {
		p.refuse(at+".column", "passwords, hashes, tokens and log-ins are never read, not even to compare", lawUnlawful)
	}
	if c.From == "" && c.Before == "" && len(c.In) == 0 && !c.NotNull {
		p.add(at, "a condition has from, before, in or not_null", "")
	}
	if len(c.In) > 0 && (c.From != "" || c.Before != "") {
		p.add(at, "in is used without from and before", "")
	}
	for n, v := range c.In {
		if slices.Contains(c.In[:n], v) {
			p.add(fmt.Sprintf("%s.in[%d]", at, n), "value given twice", "")
		}
	}
}

func (i *Instruction) checkWithin(p *problems, at, other string, columns []string) {
	d, ok := i.Datasets.Get(other)
	switch {
	case !ok:
		p.add(at, "there is no dataset "+other, "")
		return
	case d.Distinct != "" || len(d.Key) == 0:
		p.add(at, other+" has no key to refer to", "")
		return
	case len(columns) != len(d.Key):
		p.add(at, fmt.Sprintf("want %d columns, for the key of %s: %s", len(d.Key), other, strings.Join(d.Key, ", ")), "")
	}
	for _, c := range columns {
		noWildcard(p, at, c)
		if LooksLikeCredential(c) {
			p.refuse(at, "passwords, hashes, tokens and log-ins are never read, not even to compare", lawUnlawful)
		}
	}
}

// checkCycles refuses datasets that are within themselves through others.
func (i *Instruction) checkCycles(p *problems) {
	const seen, done = 1, 2
	state := map[string]int{}
	var visit func(id string) bool
	visit = func(id string) bool {
		if state[id] != 0 {
			return state[id] == seen
		}
		state[id] = seen
		if d, ok := i.Datasets.Get(id); ok {
			for _, other := range d.Within.Keys() {
				if visit(other) {
					p.add("datasets."+id+".within."+other, "goes round in a circle", "")
				}
			}
		}
		state[id] = done
		return false
	}
	for _, id := range i.Datasets.Keys() {
		visit(id)
	}
}

func (i *Instruction) checkSensitive(p *problems, special map[ecluse.Class]bool) {
	for n, c := range i.Sensitive {
		field := fmt.Sprintf("sensitive[%d]", n)
		if !c.Special() {
			p.add(field, strconv.Quote(string(c))+" is not a special class: want genetic, infectious, pregnancy or treatment", lawSpecial)
		}
		if slices.Contains(i.Sensitive[:n], c) {
			p.add(field, "class given twice", "")
		}
	}
	for _, c := range ecluse.Classes() {
		if special[c] && !slices.Contains(i.Sensitive, c) {
			p.add("sensitive", fmt.Sprintf("columns are %s: say so here too", c), lawSpecial)
		}
	}
}

func (i *Instruction) checkFigure(p *problems, at, name string, c *Check) {
	if !validDataset(name) {
		p.add(at, "want at most 64 lower-case letters, digits, - and _, beginning with a letter", "")
	}
	d, ok := i.Datasets.Get(string(c.Dataset))
	if !ok {
		p.add(at+".dataset", "there is no dataset "+string(c.Dataset), "")
		return
	}
	if c.CountBy != "" && (c.By != "" || c.Count) {
		p.add(at, "count_by is count and by in one: leave them out", "")
	}
	if c.CountBy == "" && !c.Count && c.Sum == "" && c.First == "" && c.Last == "" {
		p.add(at, "want count, count_by, sum, first or last", "")
	}
	for _, f := range [][2]string{{"count_by", c.CountBy}, {"sum", c.Sum}, {"first", c.First}, {"last", c.Last}, {"by", c.By}} {
		if _, ok := d.Columns.Get(f[1]); f[1] != "" && !ok && f[1] != d.Distinct {
			p.add(at+"."+f[0], f[1]+" is not an instructed column of "+string(c.Dataset), lawOnly)
		}
	}
}

func (i *Instruction) checkAccounts(p *problems) {
	a := i.Accounts.Source
	if len(a.MayAlsoRead) == 0 {
		return
	}
	if why := boilerplate(a.Because, prose); why != "" {
		p.add("accounts.source.because", why, "GDPR art. 32")
	}
}

func (i *Instruction) checkLimits(p *problems) {
	if i.Limits.Rows < 1 {
		p.add("limits.rows", "want a number from 1", lawOnly)
	}
	if i.Limits.QueriesPerSecond < 0 {
		p.add("limits.queries_per_second", "want a number from 1", "")
	}
	if i.Limits.LoadPause < 0 {
		p.add("limits.load_pause", "want a number of sessions, from 1", "")
	}
	if i.Limits.LoadPause > 0 && i.Source.Consistency == Locked {
		p.add("limits.load_pause", "while tables are locked, a pause keeps waiting those it is for: use another consistency, or no pause", "")
	}
	if n := i.Limits.RehearsalDays; n < 0 || n > MostRehearsalDays {
		p.add("limits.rehearsal_days", fmt.Sprintf("want a number from 1 to %d, or nothing: %d", MostRehearsalDays, UsualRehearsalDays), "GDPR art. 5(1)(e)")
	}
	if _, err := parseLease(i.Limits.Lease); err != nil {
		p.add("limits.lease", err.Error(), "")
	}
	if _, err := ParseWindow(i.Limits.Window); err != nil {
		p.add("limits.window", err.Error(), "")
	}
}

func validDataset(id string) bool {
	if id == "" || len(id) > 64 || id[0] < 'a' || id[0] > 'z' {
		return false
	}
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
