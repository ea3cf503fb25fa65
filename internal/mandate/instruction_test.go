package mandate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
)

func TestInstructionParses(t *testing.T) {
	i, err := ParseInstruction("i.yaml", []byte(readFile(t, "testdata/instruction.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"patient", "result", "prescriber"}, i.Datasets.Keys()); diff != "" {
		t.Error(diff)
	}
	result, _ := i.Datasets.Get("result")
	value, _ := result.Columns.Get("value")
	if diff := cmp.Diff(Column{Class: ecluse.Result, As: "text"}, *value); diff != "" {
		t.Error(diff)
	}
	within, _ := result.Within.Get("patient")
	if diff := cmp.Diff([]string{"patient_id"}, *within); diff != "" {
		t.Error(diff)
	}
	if i.Limits.Bytes != 20e9 || i.Passages.Of(ecluse.Dry) != 50 {
		t.Errorf("limits %+v, passages %+v", i.Limits, i.Passages)
	}
	if diff := cmp.Diff(Reach{"public.patient.address"}, i.Accounts.Source.MayAlsoRead); diff != "" {
		t.Error(diff)
	}
	if i.Source.AdministeredBy != ecluse.Processor || i.Target.AdministeredBy != ecluse.Controller {
		t.Errorf("administered by %s and %s", i.Source.AdministeredBy, i.Target.AdministeredBy)
	}
	if b := i.Backups; !b.SourceGate.None() || b.Lock.String() != "2027-01-31" || b.TargetGate.String() != NoBackup {
		t.Errorf("backups %+v", b)
	}
	if want := time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC); !i.EraseBy.Equal(want) {
		t.Errorf("erase by %s", i.EraseBy)
	}
}

func TestInstructionRefuses(t *testing.T) {
	good := readFile(t, "testdata/instruction.yaml")
	for name, c := range map[string]struct {
		old, new, want string
		kind           ecluse.Kind
	}{
		"credential class":     {"sex: identity", "sex: credential", "i.yaml:13: datasets.patient.columns.sex: passwords, their hashes and log-ins are never migrated: people choose new ones (GDPR art. 28(3), last sentence)", ecluse.Refused},
		"credential name":      {"sex: identity", "portal_password: identity", "datasets.patient.columns.portal_password: its name is that of a password", ecluse.Refused},
		"credential distinct":  {"distinct: prescriber_name", "distinct: mot_de_passe", "datasets.prescriber: its name is that of a password", ecluse.Refused},
		"credential filter":    {"column: created_on", "column: pwd", "datasets.patient.where[0].column: passwords", ecluse.Refused},
		"credential within":    {"within: {patient: [patient_id]}", "within: {patient: [session_token]}", "never read, not even to compare", ecluse.Refused},
		"wildcard":             {"sex: identity", "'*': identity", "datasets.patient.columns.*: want a name", ecluse.Invalid},
		"wildcard table":       {"from: public.patient", "from: public.*", "datasets.patient.from: want a name", ecluse.Invalid},
		"unknown class":        {"sex: identity", "sex: gender", `"gender" is not a class`, ecluse.Invalid},
		"no class":             {"sex: identity", "sex:", "want the column's class", ecluse.Invalid},
		"class missing":        {"value: {class: result, as: text}", "value: {as: text}", "datasets.result.columns.value.class: missing", ecluse.Invalid},
		"as":                   {"as: text", "as: number", "datasets.result.columns.value.as: want text", ecluse.Invalid},
		"free text":            {", because: the biologists' remarks are part of the result", "", "i.yaml:24: datasets.result.columns.remark: a free-text column holds more than its name says", ecluse.Invalid},
		"free text as a word":  {"because: the biologists' remarks are part of the result", "because: N/A", "remark.because: says nothing", ecluse.Invalid},
		"document":             {"sex: identity", "scan: document", "a document column holds more", ecluse.Invalid},
		"special not named":    {"code: result", "code: genetic", "sensitive: columns are genetic: say so here too (GDPR art. 9)", ecluse.Invalid},
		"not special":          {"[infectious]", "[identity]", "not a special class", ecluse.Invalid},
		"key not listed":       {"key: [result_id]", "key: [id]", "id is not among the columns", ecluse.Invalid},
		"no columns":           {"    columns: {patient_id: technical, nir: national-id, last_name: identity, birth_date: identity, sex: identity}\n", "", "what is not named stays", ecluse.Invalid},
		"within nothing":       {"within: {patient:", "within: {patients:", "there is no dataset patients", ecluse.Invalid},
		"within short":         {"within: {patient: [patient_id]}", "within: {patient: [a, b]}", "want 1 columns, for the key of patient: patient_id", ecluse.Invalid},
		"within distinct":      {"within: {patient: [patient_id]}", "within: {prescriber: [a]}", "prescriber has no key", ecluse.Invalid},
		"circle":               {"where: [{column: created_on, from: 2015-01-01, before: 2020-11-01}]", "within: {result: [patient_id]}", "goes round in a circle", ecluse.Invalid},
		"reserved":             {"  patient:", "  ecluse.key:", "names that begin with ecluse. are taken", ecluse.Invalid},
		"distinct and columns": {"distinct: prescriber_name,", "distinct: prescriber_name, columns: {a: technical},", "a dataset has columns and key, or distinct and class", ecluse.Invalid},
		"empty condition":      {"from: 2015-01-01, before: 2020-11-01", "not_null: false", "a condition has from, before, in or not_null", ecluse.Invalid},
		"in and from":          {"before: 2020-11-01", "in: [a]", "in is used without from and before", ecluse.Invalid},
		"check of nothing":     {"dataset: result, count_by: code", "dataset: result", "want count, count_by, sum, first or last", ecluse.Invalid},
		"check elsewhere":      {"count_by: code", "count_by: comment", "comment is not an instructed column of result", ecluse.Invalid},
		"check dataset":        {"dataset: result, count_by", "dataset: results, count_by", "there is no dataset results", ecluse.Invalid},
		"reach":                {"[public.patient.address]", "everything", "want a list of table.column, or all", ecluse.Invalid},
		"reach within a list":  {"[public.patient.address]", "[all]", `"all" is not table.column`, ecluse.Invalid},
		"reach without why":    {", because: a view is not possible before 2026-12-01", "", "accounts.source.because: missing", ecluse.Invalid},
		"window":               {"Europe/Paris", "Europe/Nulle", "limits.window", ecluse.Invalid},
		"pause below none":     {"queries_per_second: 50", "load_pause: -1", "limits.load_pause: want a number of sessions, from 1", ecluse.Invalid},
		"fewer than no rows":   {"from: public.patient", "rows: {expected: -1}\n    from: public.patient", "datasets.patient.rows: want expected, a number of rows from 1", ecluse.Invalid},
		"no number expected":   {"from: public.patient", "rows: {tolerance: 5%}\n    from: public.patient", "datasets.patient.rows", ecluse.Invalid},
		"lease too short":      {"limits: {", "limits: {lease: 14m, ", "i.yaml:33: limits.lease: want whole minutes or hours from 15m to 72h", ecluse.Invalid},
		"lease too long":       {"limits: {", "limits: {lease: 73h, ", "limits.lease: want whole minutes or hours from 15m to 72h", ecluse.Invalid},
		"lease in seconds":     {"limits: {", "limits: {lease: 20m30s, ", "limits.lease: want whole minutes", ecluse.Invalid},
		"lease in days":        {"limits: {", "limits: {lease: 2d, ", "limits.lease: want whole minutes", ecluse.Invalid},
		"lease backwards":      {"limits: {", "limits: {lease: -24h, ", "limits.lease: want whole minutes", ecluse.Invalid},
		"size":                 {"20GB", "lots", "limits.bytes: want a size", ecluse.Invalid},
		"administered by":      {"administered_by: processor", "administered_by: somebody", `source.administered_by: "somebody" is not controller or processor`, ecluse.Invalid},
		"nobody administers":   {", administered_by: controller}", "}", "target.administered_by: missing (GDPR art. 5(2))", ecluse.Invalid},
		"no word on backups":   {"backups: {source_gate: none, lock: {until: 2027-01-31}, target_gate: none}\n", "", "backups: missing (GDPR art. 28(3)(g))", ecluse.Invalid},
		"no word on one":       {", target_gate: none}", "}", "backups.target_gate: missing (GDPR art. 28(3)(g))", ecluse.Invalid},
		"an empty word":        {"target_gate: none", "target_gate: ''", "want none, or {until: YYYY-MM-DD}", ecluse.Invalid},
		"another word":         {"target_gate: none", "target_gate: never", "want none, or {until: YYYY-MM-DD}", ecluse.Invalid},
		"backup until when":    {"{until: 2027-01-31}", "{}", "until: missing", ecluse.Invalid},
		"backup expired":       {"until: 2027-01-31", "until: 2026-12-30", "backups.lock.until: a backup made until erase_by cannot expire before it", ecluse.Invalid},
		"backup of more":       {"{until: 2027-01-31}", "{until: 2027-01-31, where: a tape}", "unknown key", ecluse.Invalid},
		"no rows":              {"rows: 12000000", "rows: 0", "limits.rows: want a number from 1", ecluse.Invalid},
		"frozen":               {"consistency: snapshot", "consistency: frozen", "says by whom and from when", ecluse.Invalid},
		"frozen by nobody":     {"consistency: snapshot", "consistency: frozen, frozen: {by: to be defined, from: 2026-06-01T20:00:00+02:00}", "source.frozen.by: says nothing", ecluse.Invalid},
		"frozen elsewhere":     {"consistency: snapshot", "consistency: frozen, frozen: {by: see annex, from: 2026-06-01T20:00:00+02:00}", "source.frozen.by: points elsewhere", ecluse.Invalid},
		"consistency":          {"consistency: snapshot", "consistency: dirty", `"dirty" is not one of`, ecluse.Invalid},
		"rejects for ever":     {"erase_by: ", "rejects_until: 2027-04-01\nerase_by: ", "rejects_until: want a day at most 90 days after erase_by (GDPR art. 5(1)(e))", ecluse.Invalid},
		"rejects at no day":    {"erase_by: ", "rejects_until: next year\nerase_by: ", "rejects_until: ", ecluse.Invalid},
		"rejects elsewhere":    {"erase_by: ", "rejects_until: 2027-01-31\nerase_by: ", "rejects_until: the processor administers the source: rows kept there would not be the laboratory's alone", ecluse.Invalid},
		"rehearsal too long":   {"limits: {", "limits: {rehearsal_days: 91, ", "limits.rehearsal_days: want a number from 1 to 90", ecluse.Invalid},
		"rehearsal":            {"rehearsal: 0", "rehearsal: 1", "target.pre_production", ecluse.Invalid},
		"rehearsal at home":    {"system: KALISIL,", "system: KALISIL, pre_production: KALISIL,", "target.pre_production: it is the system itself", ecluse.Invalid},
		"untried without why":  {"dry: 50", `dry: 0, untried: "see contract annex"`, "passages.untried: ", ecluse.Invalid},
		"untried and tried":    {"dry: 50", "dry: 50, untried: each trip by hand takes a day", "passages.untried: goes with dry: 0 and rehearsal: 0", ecluse.Invalid},
		"nothing is tried":     {"dry: 50", "dry: 0", "passages: grants no dry run and no rehearsal: no mapping can be tried before the final passage; want dry: 1 at least, or untried: and the reason (GDPR art. 32(1)(d))", ecluse.Invalid},
		"one gate":             {"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "is the source's gate", ecluse.Invalid},
		"id":                   {"id: megabus-2026-01", "id: Megabus", "id: want 3 to 64", ecluse.Invalid},
		"purpose":              {"Replacement of MEGABUS by KALISIL", "see contract annex", "purpose: points elsewhere", ecluse.Invalid},
		"no deadline":          {"erase_by: 2026-12-31T18:00:00+01:00\n", "", "erase_by: missing (GDPR art. 28(3)(g))", ecluse.Invalid},
		"sql":                  {"where: [{column: created_on,", "where: [{sql: 1=1,", "unknown key", ecluse.Invalid},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Errorf("%s: the edit changes nothing", name)
		}
		_, err := ParseNewInstruction("i.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) || ecluse.KindOf(err) != c.kind {
			t.Errorf("%s: got %s %v, want %s %s", name, ecluse.KindOf(err), err, c.kind, c.want)
		}
	}
}

func TestLooksLikeCredential(t *testing.T) {
	for _, name := range []string{
		"password", "Password", "user_password", "userpassword", "PASSWD", "pwd", "pwd2", "mdp", "mot_de_passe", "motDePasse", "MotDePasse",
		"mot de passe", "hash", "password_hash", "hash_value", "token", "resetToken", "secret", "client_secret", "api_key", "login", "portal_login",
		"loginPortail", "portail_identifiant", "web_user", "code_acces", "access_code", "private_key", "sha256", "md5", "user_pass", "code_pin", "mot_passe", "Mot_De_Passé",
	} {
		if !LooksLikeCredential(name) {
			t.Errorf("%s is not seen", name)
		}
	}
	for _, name := range []string{
		"patient_id", "last_name", "code", "result", "hashimoto", "passage", "compass", "pass", "key", "account_id", "code_compte", "access_date",
		"user_id", "identifiant", "pin", "spindle", "tokenised_text", "shape", "secretion", "web_site", "date_acces",
	} {
		if LooksLikeCredential(name) {
			t.Errorf("%s is taken for a credential", name)
		}
	}
}

func TestWindow(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := func(h, m int) time.Time { return time.Date(2026, 6, 1, h, m, 0, 0, paris).UTC() }
	night, err := ParseWindow("20:00-06:00 Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		h, m int
		open bool
	}{{19, 59, false}, {20, 0, true}, {23, 59, true}, {0, 0, true}, {5, 59, true}, {6, 0, false}, {12, 0, false}} {
		if got := night.Open(at(c.h, c.m)); got != c.open {
			t.Errorf("%02d:%02d: open %t", c.h, c.m, got)
		}
	}
	if got := night.Opens(at(12, 0)); !got.Equal(at(20, 0)) {
		t.Errorf("opens %s", got)
	}
	for _, c := range []struct{ h, m int }{{20, 0}, {23, 59}, {0, 0}, {5, 59}} {
		t0 := at(c.h, c.m)
		got, want := night.Closes(t0), at(6, 0)
		if c.h >= 20 {
			want = want.AddDate(0, 0, 1)
		}
		if !got.Equal(want) {
			t.Errorf("%s: closes %s", t0, got)
		}
	}
	// Clocks go from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October.
	half, err := ParseWindow("01:00-02:30 Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, closes time.Time }{
		{time.Date(2026, 3, 29, 0, 0, 59, 9, time.UTC), time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)},
		{time.Date(2026, 10, 24, 23, 30, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)},
	} {
		if got := half.Closes(c.from); !got.Equal(c.closes) {
			t.Errorf("%s: closes %s, want %s", c.from, got, c.closes)
		}
	}
	if always, _ := ParseWindow(""); !always.Closes(at(6, 0)).IsZero() {
		t.Error("no window closes")
	}
	noon, err := ParseWindow("12:00-14:00 Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	if got := noon.Opens(at(15, 0)); !got.Equal(at(12, 0).AddDate(0, 0, 1)) {
		t.Errorf("opens %s", got)
	}
	for _, s := range []string{"20:00", "20:00-06:00", "20:00-20:00 UTC", "8:00-9:00 UTC", "25:00-06:00 UTC", "20:00-06:00 Local"} {
		if _, err := ParseWindow(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"20GB": 20e9, "512MiB": 512 << 20, "1000": 1000, "3 kB": 3000, "7B": 7} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "GB", "-1", "0", "1.5GB", "99999999999999999999", "9000000000GB", "1XB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %d", text, s)
		}
	}
}

func FuzzParseInstruction(f *testing.F) {
	f.Add([]byte(readFile(f, "testdata/instruction.yaml")))
	f.Add([]byte("ecluse: instruction/v1\ndatasets: {a: {from: b, within: {a: [c]}}}\naccounts: {source: all}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParseNewInstruction("f.yaml", b); err == nil {
			if _, err := ParseInstruction("f.yaml", b); err != nil {
				t.Errorf("it could be signed and not be read then: %v", err)
			}
		}
		i, err := ParseInstruction("f.yaml", b)
		if err != nil {
			return
		}
		for id, d := range i.Datasets.All() {
			for name, c := range d.Columns.All() {
				if c.Class == ecluse.Credential || LooksLikeCredential(name) {
					t.Errorf("%s.%s passes", id, name)
				}
			}
		}
	})
}

// TestLeaseTime: a half of the key is lent as long as the instruction says, and as long as
// is usual when it says nothing.
func TestLeaseTime(t *testing.T) {
	t.Parallel()
	for lease, want := range map[string]time.Duration{"": UsualLease, "15m": 15 * time.Minute, "1h30m": 90 * time.Minute, "24h": 24 * time.Hour, "72h": MostLease} {
		text := readFile(t, "testdata/instruction.yaml")
		if lease != "" {
			text = strings.Replace(text, "limits: {", "limits: {lease: "+lease+", ", 1)
		}
		i, err := ParseInstruction("i.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := i.Limits.LeaseTime(); got != want || (PlanLimits{Lease: lease}).LeaseTime() != want {
			t.Errorf("%q: %s, want %s", lease, got, want)
		}
	}
}
