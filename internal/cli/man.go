package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"ecluse"
	"ecluse/internal/app"
)

type manCmd struct {
	Dir string `arg:"" help:"${man_dir}"`
}

func (x *manCmd) Run(c *call) error {
	var names []string
	for _, lang := range []ui{{}, {french: true}} {
		pages, err := lang.manual(app.Version(), builtOn())
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(pages)) {
			file := filepath.Join(x.Dir, lang.say("", "fr"), "man1", name)
			err := os.MkdirAll(filepath.Dir(file), 0o755)
			if err == nil {
				err = os.WriteFile(file, []byte(pages[name]), 0o644)
			}
			if err != nil {
				return &ecluse.Error{Kind: ecluse.Failed, What: c.ui.say("write the manual", "écrire le manuel"), Err: err}
			}
			names = append(names, file)
		}
	}
	c.ui.tell("%d pages in %s; to read them: man -M %[2]s ecluse", "%d pages dans %s ; pour les lire : man -M %[2]s ecluse", len(names), x.Dir)
	return c.ui.object(map[string][]string{"files": names})
}

// builtOn is the day of the commit the program was built from, or nothing.
func builtOn() string {
	info, _ := debug.ReadBuildInfo()
	for i := 0; info != nil && i < len(info.Settings); i++ {
		if s := info.Settings[i]; s.Key == "vcs.time" {
			day, _, _ := strings.Cut(s.Value, "T")
			return day
		}
	}
	return ""
}

// manual is every page by file name: one for the program, one for each command
// that can be run. In man(7), which both groff and mandoc read.
func (u *ui) manual(version, day string) (map[string]string, error) {
	k, err := u.grammar(&commands{})
	if err != nil {
		return nil, err
	}
	m := &manual{ui: u, head: fmt.Sprintf("1 %q %q %q", day, "ecluse "+version, "Écluse"), app: k.Model.Node, pages: map[string]string{}}
	m.program()
	for _, n := range k.Model.Leaves(true) {
		m.command(n)
	}
	return m.pages, nil
}

type manual struct {
	*ui
	head  string // of .TH, after the page's name
	app   *kong.Node
	pages map[string]string
	b     strings.Builder // the page under way
}

func (m *manual) program() {
	name := m.app.Name
	text, _, _ := strings.Cut(m.app.Help, "\n\n") // the exit codes have their section
	m.begin(name, text)
	m.line(`\fB%s\fP [%s] %s`, name, m.say("options", "options"), m.say("COMMAND", "COMMANDE"))
	m.section("DESCRIPTION", "DESCRIPTION")
	m.line("%s", roff(text))
	m.section("COMMANDS", "COMMANDES")
	for _, n := range m.app.Leaves(true) {
		m.item(manRef(n), n.Help)
	}
	m.section("OPTIONS", "OPTIONS")
	m.values(m.app.Flags)
	m.section("ENVIRONMENT", "ENVIRONNEMENT")
	for _, f := range m.fromEnvironment() {
		m.item(`\fB`+f.Envs[0]+`\fP`, f.Help)
	}
	m.exitStatus()
	m.section("FILES", "FICHIERS")
	m.item(`contexts.yaml`, m.say("The laboratories that this device knows, in the folder ecluse of the user's configuration folder.", "Les laboratoires que ce poste connaît, dans le dossier ecluse du dossier de configuration de l'utilisateur."))
	m.item(`plans/`, m.say("Plans, as they were compiled: what is approved are the bytes of these files.", "Les plans, tels que compilés : ce qu'on approuve, ce sont les octets de ces fichiers."))
	m.item(`\fIDIR\fP/lock/`, m.say("Papers, journal, sealed chunks, of a laboratory in the folder DIR of a server.", "Documents, journal et paquets scellés d'un laboratoire, dans le dossier DIR d'un serveur."))
	m.item(`\fIDIR\fP/source/gate.yaml`, m.say("The old laboratory's database, and its accounts.", "La base de l'ancien laboratoire, et ses comptes."))
	m.item(`\fIDIR\fP/target/gate.yaml`, m.say("The new laboratory's database, and its accounts.", "La base du nouveau laboratoire, et ses comptes."))
	m.end(name, []string{`\fBssh\-keygen\fP(1)`, `\fBssh\-agent\fP(1)`})
}

func (m *manual) command(n *kong.Node) {
	name := pageName(n)
	m.begin(name, n.Help)
	use := []string{`\fB` + roff(n.FullPath()) + `\fP`, m.say("[options]", "[options]")}
	also := []string{`\fBecluse\fP(1)`}
	for _, f := range n.Flags {
		if f.Required && !f.Hidden {
			use = append(use, flagTerm(f.Value))
		}
	}
	for _, p := range n.Positional {
		s := `\fI` + roff(metavar(p)) + `\fP`
		if p.IsCumulative() {
			s += " ..."
		}
		if !p.Required {
			s = "[" + s + "]"
		}
		use = append(use, s)
	}
	m.line("%s", strings.Join(use, " "))
	m.section("DESCRIPTION", "DESCRIPTION")
	m.line("%s", roff(n.Help))
	if n.Detail != "" {
		m.line(".PP\n%s", roff(n.Detail))
	}
	m.section("OPTIONS", "OPTIONS")
	for _, p := range n.Positional {
		m.item(`\fI`+roff(metavar(p))+`\fP`, p.Help)
	}
	for at := n; at != nil; at = at.Parent {
		m.values(at.Flags)
		if at == n.Parent && at.Type == kong.CommandNode {
			for _, sibling := range at.Leaves(true) {
				if sibling != n {
					also = append(also, manRef(sibling))
				}
			}
		}
	}
	m.exitStatus()
	m.end(name, also)
}

func (m *manual) begin(name, text string) {
	m.b.Reset()
	m.line(".TH %q %s", strings.ToUpper(name), m.head)
	m.section("NAME", "NOM")
	m.line(`%s \- %s`, name, roff(sentence(text)))
	m.section("SYNOPSIS", "SYNOPSIS")
}

func (m *manual) end(name string, also []string) {
	m.section("SEE ALSO", "VOIR AUSSI")
	m.line("%s", strings.Join(also, ",\n"))
	m.pages[name+".1"] = m.b.String()
}

func (m *manual) exitStatus() {
	m.section("EXIT STATUS", "CODE DE RETOUR")
	for code, w := range exits() {
		m.item(fmt.Sprintf(`\fB%d\fP`, code), m.say(w.en, w.fr))
	}
}

func (m *manual) values(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		text := m.framed(f.Help)
		var otherwise []string
		for _, env := range f.Envs {
			otherwise = append(otherwise, "$"+env)
		}
		if f.Default != "" {
			otherwise = append(otherwise, f.Default)
		}
		if len(otherwise) > 0 {
			text += m.say(" Default: %s", " Par défaut : %s", strings.Join(otherwise, m.say(", else ", ", sinon ")))
		}
		s := flagTerm(f.Value)
		if f.Short != 0 {
			s = `\fB\-` + string(f.Short) + `\fP, ` + s
		}
		m.item(s, text)
	}
}

// fromEnvironment lists the flags that a variable may give, each variable once.
func (m *manual) fromEnvironment() (all []*kong.Flag) {
	for _, n := range append([]*kong.Node{m.app}, m.app.Leaves(true)...) {
		for _, f := range n.Flags {
			if len(f.Envs) > 0 && !slices.ContainsFunc(all, func(g *kong.Flag) bool { return g.Envs[0] == f.Envs[0] }) {
				all = append(all, f)
			}
		}
	}
	return all
}

func (m *manual) section(en, fr string)  { m.line(".SH %s", m.say(en, fr)) }
func (m *manual) item(head, text string) { m.line(".TP\n%s\n%s", head, roff(text)) }

// line writes text, and folds it as roff asks: it is filled into paragraphs anyway.
func (m *manual) line(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		width := 0
		for i, word := range strings.Split(line, " ") {
			w := 1
			for _, r := range word {
				w++
				if r > unicode.MaxASCII {
					w += 7 // read as \[u00E9]
				}
			}
			if i > 0 && width+w > 80 && !strings.HasPrefix(line, ".") {
				m.b.WriteByte('\n')
				width, word = 0, unlike(word)
			} else if i > 0 {
				m.b.WriteByte(' ')
			}
			m.b.WriteString(word)
			width += w
		}
		m.b.WriteByte('\n')
	}
}

// unlike keeps a line of text from being a command of roff.
func unlike(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

func pageName(n *kong.Node) string { return strings.ReplaceAll(n.FullPath(), " ", "-") }

func manRef(n *kong.Node) string { return `\fB` + roff(pageName(n)) + `\fP(1)` }

// flagTerm is a flag as it is typed.
func flagTerm(v *kong.Value) string {
	s := `\fB\-\-` + roff(v.Name) + `\fP`
	if expects(v) != "" {
		s += `=\fI` + roff(metavar(v)) + `\fP`
	}
	return s
}

// sentence is the first of a text, without its full stop.
func sentence(text string) string {
	if at := regexp.MustCompile(`\. \p{Lu}|\n`).FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	return strings.TrimSuffix(text, ".")
}

// roff writes a text of paragraphs so that nothing of it is a command of roff.
// What stands in backquotes is bold; a space before French punctuation does not
// break.
func roff(text string) string {
	s := strings.NewReplacer(`\`, `\e`, "-", `\-`, " :", `\~:`, " ;", `\~;`, "« ", `«\~`, " »", `\~»`).Replace(text)
	s = regexp.MustCompile("`([^`]*)`").ReplaceAllString(s, `\fB$1\fP`)
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if line == "" {
			line = ".PP"
		} else {
			line = unlike(line)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
