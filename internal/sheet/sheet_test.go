package sheet_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse/internal/sheet"
	"ecluse/internal/stocktest"
)

const file = `ecluse: sheet/v1
begins: 2026-11-28T20:00:00+01:00
opens: 2026-11-29T07:00:00+01:00
load: 2h
people:
  - {name: Hélène Faure, role: biologiste, telephone: "+33 1 23 45 67 89"}
  - {name: "<b>Marc</b>", role: astreinte, telephone: "06 00 00 00 00"}
steps:
  - {at: 2026-11-28T19:00:00+01:00, what: Arrêt des automates, who: Hélène Faure}
`

func english(en, _ string, args ...any) string { return fmt.Sprintf(en, args...) }
func french(_, fr string, args ...any) string  { return fmt.Sprintf(fr, args...) }

func page(t *testing.T, lang string, say sheet.Say) (*sheet.Page, *sheet.Facts) {
	t.Helper()
	in, err := sheet.ParseInput("sheet.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	f := &sheet.Facts{
		Migration: "quatre-vents-01", From: "ANCILAB", To: "NOVALAB", Passage: "final-1", State: "sealed", Deputies: []string{"paul-durand"},
		Window: "20:00-06:00 Europe/Paris", Closes: in.Begins.Add(10 * time.Hour), Made: in.Begins.Add(-time.Hour),
		Ends: []sheet.End{{What: "erasure", At: in.Begins.AddDate(0, 0, 20)}},
	}
	return sheet.New(in, f, lang, say), f
}

// TestHTML: what is on the sheet, that it asks for nothing else, and that it can be read
// without eyes or colours.
func TestHTML(t *testing.T) {
	for lang, want := range map[string][]string{
		"en": {"Cut-over sheet: quatre-vents-01", "Last hour for no-go", "2026-11-29 03:00", "about 3 h 00", "a signatory of the laboratory or paul-durand"},
		"fr": {"Feuille de bascule : quatre-vents-01", "Dernière heure pour refuser le feu vert", "2026-11-29 03:00", "environ 3 h 00", "Arrêt des automates"},
	} {
		say := map[string]sheet.Say{"en": english, "fr": french}[lang]
		p, _ := page(t, lang, say)
		var b bytes.Buffer
		if err := p.HTML(&b); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		for _, s := range append(want, `<html lang="`+lang+`">`, "Hélène Faure", "&#43;33 1 23 45 67 89", "&lt;b&gt;Marc", "@page { size: A4") {
			if !strings.Contains(out, s) {
				t.Errorf("%s: it does not hold %q", lang, s)
			}
		}
		for _, s := range []string{"http:", "https:", "<script", "<b>Marc", "src=", "url("} {
			if strings.Contains(out, s) {
				t.Errorf("%s: it holds %q", lang, s)
			}
		}
		for tag, n := range map[string]int{"<h1>": 1, "<h2 ": 4, "<table ": 4, "<main>": 1} {
			if got := strings.Count(out, tag); got != n {
				t.Errorf("%s: %d times %s, want %d", lang, got, tag, n)
			}
		}
		if all, scoped := strings.Count(out, "<th"), strings.Count(out, `<th scope="`)+strings.Count(out, "<thead"); all != scoped {
			t.Errorf("%s: %d of %d headings have a scope", lang, scoped, all)
		}
		if strings.Count(out, "<tr>") != strings.Count(out, `<th scope="row">`)+4 {
			t.Errorf("%s: a row has no heading", lang)
		}
	}
}

// TestPDF: its text is text, accents among it, and it is the same each time.
func TestPDF(t *testing.T) {
	tool := stocktest.Tool(t, "pdftotext")
	p, f := page(t, "fr", french)
	var first, again bytes.Buffer
	if err := p.PDF(&first, f.Made); err != nil {
		t.Fatal(err)
	}
	if err := p.PDF(&again, f.Made); err != nil || !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Errorf("made twice it differs: %v", err)
	}
	name := filepath.Join(t.TempDir(), "sheet.pdf")
	if err := os.WriteFile(name, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, "-layout", name, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"Feuille de bascule : quatre-vents-01", "Hélène Faure", "+33 1 23 45 67 89", "Échéances", "Arrêt des automates", "2026-11-29 03:00"} {
		if !strings.Contains(string(out), s) {
			t.Errorf("no %q in:\n%s", s, out)
		}
	}
}

func TestLastNoGo(t *testing.T) {
	in, err := sheet.ParseInput("sheet.yaml", []byte(strings.Replace(file, "load: 2h\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, known := sheet.LastNoGo(in, &sheet.Facts{}); known {
		t.Error("known though nobody knows how long loading takes")
	}
	at, undo, known := sheet.LastNoGo(in, &sheet.Facts{Load: time.Hour})
	if want := in.Opens.Add(-90 * time.Minute); !known || undo != 90*time.Minute || !at.Equal(want) {
		t.Errorf("%s, undoing %s", at, undo)
	}
	at, _, _ = sheet.LastNoGo(in, &sheet.Facts{Load: time.Hour, Closes: in.Opens.Add(-time.Hour)})
	if want := in.Opens.Add(-150 * time.Minute); !at.Equal(want) {
		t.Errorf("with a window that ends before: %s", at)
	}
}

// TestTooLate: a last hour that is over before the report is there is no hour to decide by,
// and the sheet says so.
func TestTooLate(t *testing.T) {
	for load, want := range map[string]bool{"4h": false, "5h": true, "9h": true} { // the night has eleven hours: 4 and 6 for undoing, 5 and 7 and a half
		in, err := sheet.ParseInput("sheet.yaml", []byte(strings.Replace(file, "load: 2h\n", "read: 0s\nload: "+load+"\n", 1)))
		if err != nil {
			t.Fatal(err)
		}
		f := &sheet.Facts{Made: in.Begins}
		if report, late := sheet.TooLate(in, f); late != want || report.Before(in.Begins.Add(4*time.Hour)) {
			t.Errorf("loading in %s: %t, the report at %s", load, late, report)
		}
		for lang, say := range map[string]sheet.Say{"en": english, "fr": french} {
			var b bytes.Buffer
			if err := sheet.New(in, f, lang, say).HTML(&b); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(b.String(), "WARNING") || strings.Contains(b.String(), "ATTENTION"); got != want {
				t.Errorf("%s, loading in %s: it warns: %t", lang, load, got)
			}
		}
	}
}

func TestParseInputRefuses(t *testing.T) {
	for name, edit := range map[string][2]string{
		"another format":       {"sheet/v1", "sheet/v2"},
		"an unknown field":     {"load: 2h", "loads: 2h"},
		"an odd duration":      {"load: 2h", "load: soon"},
		"it ends first":        {"opens: 2026-11-29", "opens: 2026-11-27"},
		"nobody to ring":       {`telephone: "+33 1 23 45 67 89"`, `telephone: ""`},
		"a step without words": {"what: Arrêt des automates", `what: ""`},
	} {
		if _, err := sheet.ParseInput("sheet.yaml", []byte(strings.Replace(file, edit[0], edit[1], 1))); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func FuzzParseInput(f *testing.F) {
	f.Add([]byte(file))
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := sheet.ParseInput("sheet.yaml", text)
		if err != nil {
			return
		}
		p := sheet.New(in, &sheet.Facts{}, "en", english)
		var b bytes.Buffer
		if err := p.HTML(&b); err != nil {
			t.Error(err)
		}
	})
}

// TestUnknown: while no passage ended and nobody wrote hours down, there is no last hour.
func TestUnknown(t *testing.T) {
	in, err := sheet.ParseInput("sheet.yaml", []byte(strings.Replace(file, "load: 2h\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	f := &sheet.Facts{Migration: "quatre-vents-01", AllRead: true, Made: in.Begins}
	if at, _, known := sheet.LastNoGo(in, f); known {
		t.Errorf("the last hour is %s, by nobody's measure", at)
	}
	var b bytes.Buffer
	if err := sheet.New(in, f, "en", english).HTML(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "not known yet"); n != 3 || !strings.Contains(b.String(), "done") { // loading, undoing, the last hour
		t.Errorf("it says %d times that nobody knows:\n%s", n, b.String())
	}
	f.Load = time.Hour
	if at, _, known := sheet.LastNoGo(in, f); !known || !at.Equal(in.Opens.Add(-90*time.Minute)) {
		t.Errorf("after a passage of an hour: %s, %v", at, known)
	}
}
