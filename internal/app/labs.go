package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/durable"
	"ecluse/internal/lock"
)

// Folders of a server. Each laboratory's is exactly a lock's: one control database,
// one chamber and one journal, so that nothing of two can mix.
const (
	tlsDir  = "tls"
	labsDir = "laboratories"
	// RoomLab is what the one laboratory of a room is called on its server.
	RoomLab = "room"
)

// ServerFolder reads a server's folder: its settings, and what it serves. The lock's
// folder of a room is one too, whose laboratory is RoomLab.
func ServerFolder(dir string) (*ServeOptions, error) {
	c, err := config.LoadServer(dir)
	if err != nil {
		return nil, err
	}
	o := &ServeOptions{TLS: filepath.Join(dir, tlsDir), Config: *c, Labs: map[string]string{}}
	if lock.In(dir) {
		o.Labs[RoomLab] = dir
		return o, nil
	}
	entries, err := os.ReadDir(filepath.Join(dir, labsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "list laboratories", Where: dir, Err: err}
	}
	for _, e := range entries {
		if e.IsDir() && config.CheckLaboratory(e.Name()) == nil { // what making one left behind begins with a dot
			o.Labs[e.Name()] = filepath.Join(dir, labsDir, e.Name())
		}
	}
	return o, nil
}

// BeginServer makes a server's folder with its settings to change, unless it is there.
// It tells whether it made them. public is what people and gates reach it by, empty
// where that is not known yet.
func BeginServer(dir, public string) (made bool, err error) {
	path := filepath.Join(dir, config.ServerName)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return false, nil //nolint:nilerr // whoever reads it says what is wrong
	}
	text, err := config.ServerExampleFor(public)
	if err != nil {
		return false, err
	}
	if err = durable.Mkdir(dir); err == nil {
		err = durable.CreateFile(path, []byte(text))
	}
	if err != nil {
		return false, &ecluse.Error{Kind: ecluse.Failed, What: "make the server's folder", Where: dir, Err: err, Next: "name a folder on a disk with room, that you may write"}
	}
	return true, nil
}

// AddLab makes a laboratory's folder on a server, whole or not at all. A server that
// runs finds it when it starts again.
func AddLab(ctx context.Context, dir, id string, roots map[ecluse.Side]ecluse.Fingerprint) error {
	const what = "add laboratory"
	if err := config.CheckLaboratory(id); err != nil {
		return err
	}
	if lock.In(dir) {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Where: dir, Why: "it is the folder of one laboratory's lock", Next: "name a server's folder: ecluse serve DIR makes one"}
	}
	if roots[ecluse.Controller] == roots[ecluse.Processor] {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: id, Why: "one key cannot be the root of both parties", Next: "have each party read its own root's fingerprint out: ssh-keygen -lf FILE.pub"}
	}
	at := filepath.Join(dir, labsDir, id)
	if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Where: id, Why: "the name is taken on this server", Next: "ecluse lab list DIR"}
	}
	err := durable.Whole(at, func(dir string) error {
		_, err := lock.Create(ctx, dir, roots, false)
		return err
	})
	var known *ecluse.Error
	if err != nil && !errors.As(err, &known) {
		err = &ecluse.Error{Kind: ecluse.Failed, What: what, Where: id, Err: err, Next: "nothing was left behind: see to room and rights, and run it again"}
	}
	return err
}

// DescribeLabs says what devices and gates must know of the laboratories on a server
// that may be running: it opens no database. The server's key is made when there is
// none.
func (o *ServeOptions) DescribeLabs(ctx context.Context) (*Serving, error) {
	id, err := identity(o.TLS, &o.Config, func(error) {})
	if err != nil {
		return nil, err
	}
	s := serving(o.Config.Listen, &o.Config, id, nil)
	s.Addr = ""
	for _, name := range slices.Sorted(maps.Keys(o.Labs)) {
		key, roots, err := lock.Describe(o.Labs[name])
		if err != nil {
			return nil, fmt.Errorf("laboratory %s: %w", name, err)
		}
		s.Labs = append(s.Labs, served(name, s.URL, s.Pin, key, roots))
	}
	return &s, ctx.Err()
}
