package config

import (
	"os"
	"path/filepath"

	"ecluse"
	"ecluse/internal/document"
	"ecluse/internal/durable"
)

// SetServer writes into a gate's settings where its server is, and leaves the rest,
// comments included, as people wrote it. Nothing is written when it stands there.
func SetServer(dir, server, laboratory string, pin ecluse.Digest) error {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "open gate", Where: path, Err: cause(err), Next: "write the database's settings there; " + FileName + ".example beside it is the manual"}
	}
	if g, err := parseGate(dir, path, text); err == nil && g.Server == server && g.Laboratory == laboratory && g.Pin == pin {
		return nil
	}
	changed, err := document.Edit(text, func(root *document.Node) error {
		for _, f := range []struct{ key, value string }{{"server", server}, {"laboratory", laboratory}, {"pin", pin.String()}} {
			if err := document.SetField(root, f.key, f.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, changed)
}
