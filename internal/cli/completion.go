package cli

import (
	"embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Completion is a script for the shell that holds all that can be typed as a
// table: nothing runs when TAB is pressed, and no lock folder is looked into.
// The libraries for kong start the program at every TAB and stopped in 2023.
//
//go:embed completion
var shells embed.FS

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"${completion_shell}"`
}

func (x *completionCmd) Run(c *call, k *kong.Context) error {
	text, err := shells.ReadFile("completion/" + x.Shell)
	if err != nil {
		return err
	}
	script := strings.Replace(string(text), "@TABLE@", quote(x.Shell, c.ui.typed(k.Model.Node, x.Shell != "bash")), 1)
	c.ui.text(script)
	return c.ui.object(map[string]string{"script": script})
}

// quote makes s one literal of the shell.
func quote(shell, s string) string {
	switch shell {
	case "powershell":
		s = strings.ReplaceAll(s, "'", "''")
	case "fish":
		s = strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)
	default:
		s = strings.ReplaceAll(s, "'", `'\''`)
	}
	return "'" + s + "'"
}

// typed lists all that can be typed, a line for each: command|word|what|help.
// Bash shows no help.
func (u *ui) typed(root *kong.Node, help bool) string {
	var b strings.Builder
	b.WriteByte('\n')
	var node func(string, *kong.Node)
	node = func(path string, n *kong.Node) {
		row := func(word, what, text string) {
			if !help {
				text = ""
			}
			fmt.Fprintf(&b, "%s|%s|%s|%s\n", path, word, what, strings.Join(strings.Fields(text), " "))
		}
		for _, child := range n.Children {
			if !child.Hidden {
				row(child.Name, ":command", child.Help)
			}
		}
		for i, p := range n.Positional {
			place := fmt.Sprint(i + 1)
			if p.IsCumulative() {
				place = "*"
			}
			row(place, expects(p), p.Help)
		}
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				row("--"+f.Name, expects(f.Value), u.framed(f.Help))
				if f.Short != 0 {
					row("-"+string(f.Short), expects(f.Value), u.framed(f.Help))
				}
			}
		}
		for _, child := range n.Children {
			if !child.Hidden {
				node(strings.TrimSpace(path+" "+child.Name), child)
			}
		}
	}
	node("", root)
	return b.String()
}

// expects says how a value is completed: by these words, by files, folders, or
// not at all; empty for a flag without value.
func expects(v *kong.Value) string {
	switch {
	case v.Flag != nil && (v.IsBool() || v.IsCounter()):
		return ""
	case v.Enum != "":
		return strings.Join(enum(v), " ")
	}
	switch metavar(v) {
	case "FILE", "KEY":
		return ":file"
	case "DIR":
		return ":dir"
	}
	return ":any"
}

// enum lists what a value may be, without the empty word that stands for unset.
func enum(v *kong.Value) (all []string) {
	for _, w := range v.EnumSlice() {
		if w != "" {
			all = append(all, w)
		}
	}
	return all
}

// metavar is what stands for a value in print: FILE and KEY are files, DIR is a
// folder.
func metavar(v *kong.Value) string {
	switch {
	case v.Enum != "":
		return strings.Join(enum(v), "|")
	case v.Flag != nil && v.Flag.PlaceHolder != "":
		return v.Flag.PlaceHolder
	case v.Tag.PlaceHolder != "":
		return v.Tag.PlaceHolder
	}
	return strings.ToUpper(v.Name)
}
