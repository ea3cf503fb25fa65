package app_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/gate"
	"ecluse/internal/wire"
)

// asUser is the variable that makes the test binary a part of a room, as another user:
// the part's name and the room's folder.
const asUser = "ECLUSE_TEST_USER"

// TestAsUser is that part; without the variable it is nothing.
func TestAsUser(t *testing.T) {
	own, room, ok := strings.Cut(os.Getenv(asUser), " ")
	if !ok {
		t.Skip("it is started by TestProcessUsers")
	}
	if os.Getuid() == 0 {
		t.Fatal("it is root")
	}
	if own == "lock" {
		_, shut, err := app.OpenLab(t.Context(), filepath.Join(room, own), "room", wire.Pin{})
		if err != nil {
			t.Fatal(err)
		}
		defer shut()
	} else if _, err := gate.OpenHome(filepath.Join(room, own)); err != nil {
		t.Fatal(err)
	}
	for part, files := range map[string][]string{
		"lock": {"", "lock_key", "lock.json", "control.db", "chamber", "documents"}, "source": {"", "gate_key", "ledger.json"}, "target": {"", "gate_key", "ledger.json"},
	} {
		dir := filepath.Join(room, part)
		for _, name := range files {
			f, err := os.Open(filepath.Join(dir, name))
			if err == nil {
				f.Close()
			}
			if part == own && err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the %s cannot open its own %s: %v", own, name, err)
			}
			if part != own && !errors.Is(err, fs.ErrPermission) {
				t.Errorf("the %s's user opens %s/%s: %v", own, part, name, err)
			}
		}
		if part == own {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "planted"), nil, 0o600); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("the %s's user writes into the %s's folder: %v", own, part, err)
		}
		if _, shut, err := app.OpenLab(t.Context(), dir, "room", wire.Pin{}); err == nil {
			t.Error(errors.New("it opened "+part), shut())
		}
		if _, err := gate.OpenHome(dir); err == nil {
			t.Errorf("the %s's user opens %s as a gate", own, part)
		}
	}
	os.Stdout.WriteString("LOOKED\n")
}

// TestProcessUsers: the server's user cannot open the gates' folders, nor a gate's user
// the server's or the other gate's: with the modes that the program gives them, and
// nothing that an administrator adds.
func TestProcessUsers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root starts processes of other users")
	}
	d := roomtest.At(t, roomtest.Made, 3)
	// Where everybody may pass, so that the folders alone keep others out.
	way, err := os.MkdirTemp("", "ecluse-users-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(way) })
	room, binary := filepath.Join(way, "room"), filepath.Join(way, "ecluse.test")
	if _, err := app.Init(t.Context(), room, d.Roots()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{way, room} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	users := map[string]int{"lock": 61001, "source": 61002, "target": 61003}
	for part, id := range users {
		err := filepath.WalkDir(filepath.Join(room, part), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, id, id)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for part, id := range users {
		cmd := exec.CommandContext(ctx, binary, "-test.run=^TestAsUser$", "-test.v", "-test.timeout=50s")
		cmd.Dir, cmd.Stdin = way, io.MultiReader()
		cmd.Env = []string{asUser + "=" + part + " " + room}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "LOOKED") {
			t.Errorf("as the user of the %s: %v\n%s", part, err, out)
		}
	}
}
