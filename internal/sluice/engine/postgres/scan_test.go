package postgres_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/record"
)

// TestScanPartitions: partitions and heirs are read with the table they belong to,
// each row once, on however many connections.
func TestScanPartitions(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, `CREATE TABLE whole (id int, pad text) PARTITION BY RANGE (id);
		CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (1000);
		CREATE TABLE high PARTITION OF whole FOR VALUES FROM (1000) TO (100000) PARTITION BY LIST (pad);
		CREATE TABLE high_rest PARTITION OF high DEFAULT;
		INSERT INTO whole SELECT i, repeat('x', 900) FROM generate_series(0, 39999) AS i;
		CREATE TABLE parent (id int, pad text); CREATE TABLE heir () INHERITS (parent);
		INSERT INTO parent SELECT i, '' FROM generate_series(0, 9) AS i; INSERT INTO heir SELECT i, repeat('x', 900) FROM generate_series(10, 39999) AS i`)
	cat, err := postgres.Catalogue(t.Context(), postgrestest.Connect(t, c))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, table := range cat.Tables {
		kinds = append(kinds, fmt.Sprintf("%s: %s, %s", table.Name, table.Kind, table.Storage))
	}
	if diff := cmp.Diff([]string{"public.heir: table, heap", "public.parent: table, heap", "public.whole: partitioned table, heap"}, kinds); diff != "" {
		t.Error(diff)
	}
	for _, conns := range []int{1, 3} {
		s, err := postgres.OpenSnapshot(t.Context(), c, conns)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"whole", "parent"} {
			var mu sync.Mutex
			seen := make([]bool, 40_000)
			err := s.Scan(t.Context(), public(table), []string{"id"}, func(b *record.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				for _, id := range b.Columns[0].Ints() {
					if seen[id] {
						t.Errorf("row %d of %s came twice", id, table)
					}
					seen[id] = true
				}
				return nil
			})
			if err != nil || slices.Contains(seen, false) {
				t.Errorf("%s on %d connections: row %d is missing, %v", table, conns, slices.Index(seen, false), err)
			}
		}
		s.Close()
	}
}

func TestScanStops(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, "CREATE TABLE many AS SELECT i AS id, repeat('x', 500) AS pad FROM generate_series(1, 60000) AS i")
	s, err := postgres.OpenSnapshot(t.Context(), c, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Scan(ctx, public("many"), []string{"id", "pad"}, func(*record.Batch) error { cancel(); return nil })
	if ecluse.KindOf(err) != ecluse.Interrupted || err == nil {
		t.Errorf("a cancelled scan gave %v", err)
	}
}

// TestOldServersRange runs the statement for servers without ranges of places,
// which this one understands too.
func TestOldServersRange(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, "CREATE TABLE many AS SELECT i AS id, repeat('x', i % 50) AS pad FROM generate_series(1, 20000) AS i; DELETE FROM many WHERE id % 7 = 0")
	p := &mandate.ReadPlan{Datasets: []mandate.ReadDataset{{
		Dataset: "many", From: public("many"), Storage: "heap", Columns: []mandate.ReadColumn{{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "integer"}},
	}}}
	r, err := postgres.NewReading(p, &p.Datasets[0])
	if err != nil {
		t.Fatal(err)
	}
	conn := postgrestest.Connect(t, c)
	from, to := postgres.TID{Block: 3, Line: 5}, postgres.TID{Block: 40, Line: 17}
	var answers []string
	for _, version := range []int{130010, 150000} {
		var answer strings.Builder
		if _, err := conn.CopyOut(t.Context(), r.Range(from, to, postgres.Extent{}, version), &answer); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer.String())
	}
	if answers[0] != answers[1] || len(answers[0]) < 1000 {
		t.Errorf("answers of %d and %d bytes", len(answers[0]), len(answers[1]))
	}
}

// stoppable forwards to the server until it is stopped, and then is silent.
func stoppable(t *testing.T, c postgres.Config) (postgres.Config, func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	stopped, port := make(chan struct{}), c.Port
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort(c.Host, strconv.Itoa(port)))
			if err != nil {
				return
			}
			go io.Copy(server, client)
			go func() {
				buf := make([]byte, 4096)
				for {
					n, err := server.Read(buf)
					select {
					case <-stopped:
						return // the connections stay open
					default:
					}
					if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}()
	c.Port = listener.Addr().(*net.TCPAddr).Port
	return c, sync.OnceFunc(func() { close(stopped) })
}

func TestServerStopsAnswering(t *testing.T) {
	through, stop := stoppable(t, postgrestest.Server(t))
	through.Silence = 300 * time.Millisecond
	conn := postgrestest.Connect(t, through)
	ask := func(ctx context.Context, conn *postgres.Conn) error {
		_, err := conn.One(ctx, "SELECT 1")
		return postgres.Wrap(ctx, "ask", "", err)
	}
	if err := ask(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond) // nothing asked, nothing expected
	if err := ask(t.Context(), conn); err != nil {
		t.Errorf("after a pause: %v", err)
	}
	patient := through
	patient.Silence = 0
	other := postgrestest.Connect(t, patient)
	stop()
	if err := ask(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "stopped answering") {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := ask(ctx, other); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("a silent server and a deadline: %v", err)
	}
}

// TestMaterialCatalogue reads the structure of a database full of what breaks
// migrations.
func TestMaterialCatalogue(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Script(t, c, postgrestest.Material(t, "quirks", "postgres.sql"))
	conn := postgrestest.Connect(t, c)
	cat, err := postgres.Catalogue(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	again, err := postgres.Catalogue(t.Context(), conn)
	if err != nil || !cmp.Equal(cat, again) {
		t.Errorf("two readings differ: %v", err)
	}
	var lines []string
	for _, table := range cat.Tables {
		lines = append(lines, fmt.Sprintf("%s %s %s key %q fk %d triggers %q", table.Name, table.Kind, table.Storage, table.PrimaryKey, len(table.ForeignKeys), table.Triggers))
		for _, col := range table.Columns {
			line := fmt.Sprintf("  %s %s: %s", col.Name, col.Declared, col.Type)
			for _, x := range []struct {
				said bool
				word string
			}{
				{!col.Nullable, "not null"},
				{col.HasDefault, "default"},
				{col.Generated, "generated"},
				{col.Identity != "", "identity " + col.Identity},
				{col.MaxLength > 0, fmt.Sprint("max ", col.MaxLength)},
				{col.Padded, "padded"},
				{col.FracDigits > 0, fmt.Sprint("digits ", col.FracDigits)},
				{col.Labels != nil, fmt.Sprintf("%q", col.Labels)},
			} {
				if x.said {
					line += ", " + x.word
				}
			}
			lines = append(lines, line)
		}
	}
	for _, s := range cat.Sequences {
		lines = append(lines, fmt.Sprintf("sequence %s by %d", s.Name, s.Increment))
	}
	const file = "testdata/quirks-catalogue.txt"
	if os.Getenv("ECLUSE_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), strings.Join(lines, "\n")); diff != "" {
		t.Error(diff)
	}
}
