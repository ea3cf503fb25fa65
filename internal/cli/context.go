package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"ecluse"
	"ecluse/internal/config"
)

type contextCmd struct {
	Add    contextAddCmd    `cmd:"" help:"${context_add}"`
	List   contextListCmd   `cmd:"" help:"${context_list}"`
	Use    contextUseCmd    `cmd:"" help:"${context_use}"`
	Show   contextShowCmd   `cmd:"" help:"${context_show}"`
	Remove contextRemoveCmd `cmd:"" help:"${context_remove}"`
}

// contexts are the laboratories that this device knows.
func (c *call) contexts() (*config.Contexts, error) {
	dir, err := config.Folder(c.env.Getenv)
	if err != nil {
		return nil, err
	}
	return config.LoadContexts(dir)
}

func (c *call) changeContexts(change func(*config.Contexts) error) error {
	dir, err := config.Folder(c.env.Getenv)
	if err != nil {
		return err
	}
	return config.ChangeContexts(dir, change)
}

// currentContext is the one that --context or ECLUSE_CONTEXT names, else the
// device's current one.
func (c *call) currentContext() (*config.Context, error) {
	all, err := c.contexts()
	if err != nil {
		return nil, err
	}
	name := c.context
	if name == "" {
		name = all.Current
	}
	if name != "" {
		return c.findContext(all, name)
	}
	what := c.ui.say("choose a context", "choisir un contexte")
	if len(all.Names()) > 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what,
			Why:  c.ui.say("none is the current one; known: %s", "aucun n'est le contexte courant ; connus : %s", strings.Join(all.Names(), ", ")),
			Next: c.ui.say("ecluse context use NAME, or --context NAME", "ecluse context use NOM, ou --context NOM"),
		}
	}
	return nil, &ecluse.Error{
		Kind: ecluse.Invalid, What: what, Why: c.ui.say("this device knows no laboratory yet", "ce poste ne connaît encore aucun laboratoire"),
		Next: c.addContext(),
	}
}

func (c *call) addContext() string {
	return c.ui.say("ecluse context add NAME LINE; ask whoever runs the server for the line",
		"ecluse context add NOM LIGNE ; demandez la ligne à qui tient le serveur")
}

func (c *call) findContext(all *config.Contexts, name string) (*config.Context, error) {
	if _, ok := all.All.Get(name); ok {
		return all.Get(name)
	}
	e := &ecluse.Error{
		Kind: ecluse.Invalid, What: c.ui.say("find context %q", "trouver le contexte %q", name),
		Why: c.ui.say("this device does not know it", "ce poste ne le connaît pas"), Next: c.addContext(),
	}
	if names := all.Names(); len(names) > 0 {
		e.Why += c.ui.say("; known: %s", " ; connus : %s", strings.Join(names, ", "))
	}
	return nil, e
}

// contextView is a context as --json prints it.
type contextView struct {
	Name              string             `json:"name"`
	Server            string             `json:"server"`
	Laboratory        string             `json:"laboratory"`
	Pin               ecluse.Digest      `json:"pin"`
	Lock              ecluse.Fingerprint `json:"lock"`
	Roots             config.Roots       `json:"roots"`
	Key               string             `json:"key,omitempty"`
	Proxy             string             `json:"proxy,omitempty"`
	ProxyPasswordFile string             `json:"proxy_password_file,omitempty"`
	Current           bool               `json:"current"`
	Line              string             `json:"line"`
}

func viewContext(x *config.Context) contextView {
	return contextView{x.Name, x.Server, x.Laboratory, x.Pin, x.Lock, x.Roots, x.Key, x.Proxy, x.ProxyPasswordFile, x.Current, x.Line()}
}

// contextLines shows what a device believes of a laboratory, one thing to a line.
func (u *ui) contextLines(v contextView) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %s\t%s\n", label, value)
		}
	}
	line(u.say("server", "serveur"), v.Server)
	line(u.say("its key", "sa clé"), v.Pin.String())
	line(u.say("laboratory", "laboratoire"), v.Laboratory)
	line(u.say("key of its journal", "clé de son journal"), string(v.Lock))
	line(u.say("root of the controller", "racine du responsable de traitement"), string(v.Roots.Controller))
	line(u.say("root of the processor", "racine du sous-traitant"), string(v.Roots.Processor))
	line(u.say("signs by default", "signe par défaut"), v.Key)
	line(u.say("through", "à travers"), v.Proxy)
	line(u.say("password of the proxy", "mot de passe du proxy"), v.ProxyPasswordFile)
	w.Flush()
	u.text(b.String())
}

type contextAddCmd struct {
	Name              string `arg:"" help:"${context_name}"`
	Line              string `arg:"" help:"${context_line}"`
	Key               string `help:"${context_key}" placeholder:"KEY"`
	Proxy             string `help:"${context_proxy}" placeholder:"URL"`
	ProxyPasswordFile string `help:"${context_password}" placeholder:"FILE"`
}

func (x *contextAddCmd) Run(_ context.Context, c *call) error {
	added, err := config.ParseLine(x.Line)
	if err != nil {
		return err
	}
	added.Name, added.Key, added.Proxy, added.ProxyPasswordFile = x.Name, x.Key, x.Proxy, x.ProxyPasswordFile
	// Paths are typed where the person stands, and read wherever they stand later.
	for _, p := range []*string{&added.Key, &added.ProxyPasswordFile} {
		if *p == "" || strings.HasPrefix(*p, "SHA256:") || strings.HasPrefix(*p, "~/") {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	err = c.changeContexts(func(all *config.Contexts) (err error) {
		if err := all.Add(*added); err != nil {
			return err
		}
		added, err = all.Get(x.Name)
		return err
	})
	if err != nil {
		return err
	}
	v := viewContext(added)
	if v.Current {
		c.ui.tell("Context %s, the current one from now on:", "Contexte %s, désormais le contexte courant :", v.Name)
	} else {
		c.ui.tell("Context %s:", "Contexte %s :", v.Name)
	}
	c.ui.contextLines(v)
	c.ui.tell("Before you sign anything, have both roots read out by telephone: the laboratory's by the laboratory, the processor's by\n"+
		"the processor, on numbers you knew before, not by whoever sent the line. A false root lets somebody else's papers pass\n"+
		"for theirs. If one differs: ecluse context remove %s",
		"Avant de signer quoi que ce soit, faites-vous lire les deux racines au téléphone : celle du laboratoire par le laboratoire,\n"+
			"celle du sous-traitant par le sous-traitant, à des numéros que vous connaissiez déjà, et non par qui a envoyé la ligne. Une\n"+
			"fausse racine ferait passer les documents d'un autre pour les leurs. Si l'une diffère : ecluse context remove %s", v.Name)
	return c.ui.object(v)
}

type contextListCmd struct{}

func (x *contextListCmd) Run(_ context.Context, c *call) error {
	all, err := c.contexts()
	if err != nil {
		return err
	}
	views := make([]contextView, 0, len(all.Names()))
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, name := range all.Names() {
		found, err := all.Get(name)
		if err != nil {
			return err
		}
		v := viewContext(found)
		views = append(views, v)
		mark := " "
		if v.Current {
			mark = "*"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\n", mark, v.Name, v.Laboratory, v.Server)
	}
	w.Flush()
	c.ui.text(b.String())
	if len(views) == 0 {
		c.ui.tell("No context yet: %s.", "Pas encore de contexte : %s.", c.addContext())
	}
	return c.ui.object(map[string]any{"current": all.Current, "contexts": views})
}

type contextUseCmd struct {
	Name string `arg:"" help:"${context_name}"`
}

func (x *contextUseCmd) Run(_ context.Context, c *call) error {
	var found *config.Context
	err := c.changeContexts(func(all *config.Contexts) (err error) {
		if found, err = c.findContext(all, x.Name); err != nil {
			return err
		}
		return all.Use(x.Name)
	})
	if err != nil {
		return err
	}
	c.ui.tell("Commands now go to the laboratory %s on %s.", "Les commandes vont désormais au laboratoire %s sur %s.", found.Laboratory, found.Server)
	return c.ui.object(map[string]any{"current": x.Name})
}

type contextShowCmd struct {
	Name   string `arg:"" optional:"" help:"${context_which}"`
	AsLine bool   `help:"${context_as_line}"`
}

func (x *contextShowCmd) Run(_ context.Context, c *call) error {
	if x.Name != "" {
		c.context = x.Name
	}
	found, err := c.currentContext()
	if err != nil {
		return err
	}
	v := viewContext(found)
	if x.AsLine {
		c.ui.text(v.Line + "\n")
	} else {
		c.ui.text(c.ui.paint(bold, v.Name) + "\n")
		c.ui.contextLines(v)
		c.ui.tell("For a colleague: ecluse context add %s '%s'", "Pour un collègue : ecluse context add %s '%s'", v.Name, v.Line)
	}
	return c.ui.object(v)
}

type contextRemoveCmd struct {
	Name string `arg:"" help:"${context_name}"`
}

func (x *contextRemoveCmd) Run(_ context.Context, c *call) error {
	current := ""
	err := c.changeContexts(func(all *config.Contexts) error {
		if _, err := c.findContext(all, x.Name); err != nil {
			return err
		}
		err := all.Remove(x.Name)
		current = all.Current
		return err
	})
	if err != nil {
		return err
	}
	c.ui.tell("Context %s is gone from this device. Nothing changes on the server.", "Le contexte %s n'est plus sur ce poste. Rien ne change sur le serveur.", x.Name)
	if current == "" {
		c.ui.tell("No context is the current one: ecluse context use NAME", "Aucun contexte n'est le contexte courant : ecluse context use NOM")
	}
	return c.ui.object(map[string]any{"removed": x.Name, "current": current})
}
