package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ecluse"
	"ecluse/internal/app"
)

// Prepared says where everything lies that a person needs to go through the story
// by hand. Its JSON is stable.
type Prepared struct {
	Dir   string `json:"dir"`
	Roots Roots  `json:"roots"`
}

// Prepare makes what the demonstration begins with, and does none of its steps: an
// old and a new laboratory, a lock, keys of invented people, and the papers, not
// signed. docs/tutorial.md goes on from there.
func Prepare(ctx context.Context, q Request) (*Prepared, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	path := func(name ...string) string { return filepath.Join(append([]string{q.Dir}, name...)...) }
	if _, err := MakeOld(ctx, path("old.db"), q.Patients); err != nil {
		return nil, err
	}
	if err := MakeNew(ctx, path("new.db")); err != nil {
		return nil, err
	}
	cast, err := NewCast(path("keys"))
	if err != nil {
		return nil, err
	}
	made, err := app.Init(ctx, path("room"), cast.Prints)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	texts := map[string][]byte{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if texts["roster-"+string(side)+".yaml"], err = cast.Roster(side, now); err != nil {
			return nil, err
		}
	}
	contract, err := cast.Contract(now)
	if err != nil {
		return nil, err
	}
	instruction, err := Instruction(ecluse.DigestOf(contract), made.SourceGate, made.TargetGate, q.Patients, now.AddDate(0, 1, 0))
	if err != nil {
		return nil, err
	}
	mapping, frozen, err := Mapping(ecluse.DigestOf(instruction))
	if err != nil {
		return nil, err
	}
	texts["contract.yaml"], texts["instruction.yaml"], texts["mapping.yaml"] = contract, instruction, mapping
	for name, text := range frozen {
		texts[name] = text
	}
	for gate, db := range map[string]string{"source": "old.db", "target": "new.db"} {
		texts[filepath.Join("room", gate, "gate.yaml")] = fmt.Appendf(nil, "ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: ../../%[1]s}\nrows: {file: ../../%[1]s}\n", db)
	}
	for name, text := range texts {
		err = errors.Join(err, os.WriteFile(path(name), text, 0o600))
	}
	return &Prepared{Dir: q.Dir, Roots: Roots{cast.Prints[ecluse.Controller], cast.Prints[ecluse.Processor]}}, err
}
