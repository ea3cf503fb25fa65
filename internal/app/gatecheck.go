package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/client"
	"ecluse/internal/config"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/wire"
)

// Part is what a check of a gate looks at.
type Part string

// The parts, in their order.
const (
	PartFolder   Part = "folder"
	PartClock    Part = "clock"
	PartDatabase Part = "database"
	PartNetwork  Part = "network"
	PartServer   Part = "server"
)

// GateFinding is one thing that a check of a gate saw. No password and no value of a
// record is in it.
type GateFinding struct {
	Part  Part       `json:"part"`
	Level wire.Level `json:"level"`
	Found wire.Text  `json:"found"`
	Send  wire.Text  `json:"send,omitzero"` // for whoever runs the network; empty when there is nothing to ask
}

// checkup gathers findings.
type checkup struct{ found []GateFinding }

func (x *checkup) add(p Part, l wire.Level, en, fr string, args ...any) {
	x.found = append(x.found, GateFinding{Part: p, Level: l, Found: wire.Text{EN: fmt.Sprintf(en, args...), FR: fmt.Sprintf(fr, args...)}})
}

// fails notes an error, in its own words.
func (x *checkup) fails(p Part, err error) { x.add(p, wire.Stop, "%v", "%v", err) }

// CheckGate looks at all that a gate needs: its folder, its clock, its database, the
// way to its server, and whether that lets it in. Nothing of the database but names is
// looked at, and nothing is changed.
func CheckGate(ctx context.Context, dir string) ([]GateFinding, error) {
	h, at, c, err := gateAt(dir)
	if err != nil {
		return nil, err
	}
	x := &checkup{}
	x.folder(dir)
	x.held(h)
	x.orphans(h)
	if _, err := h.Now(); err != nil {
		x.fails(PartClock, err)
	} else {
		x.add(PartClock, wire.OK, "the clock goes on from what the gate's ledger knows", "l'horloge continue à partir de ce que sait le registre du programme")
	}
	x.databases(ctx, c, at)
	x.network(ctx, c, h)
	return x.found, nil
}

// Room on the disk: what a gate keeps of a migration is some megabytes, and a ledger
// that cannot be written stops it.
const (
	spaceWarn = 1 << 30
	spaceStop = 64 << 20
)

func (x *checkup) folder(dir string) {
	st, err := os.Stat(dir)
	if err != nil {
		x.fails(PartFolder, err)
		return
	}
	if m := st.Mode().Perm(); runtime.GOOS != "windows" && m&0o077 != 0 {
		x.add(PartFolder, wire.Stop, "others on this machine may open the gate's folder (mode %04o): chmod 700 %s",
			"d'autres utilisateurs de cette machine peuvent ouvrir le dossier du programme (mode %04o) : chmod 700 %s", m, dir)
	} else {
		x.add(PartFolder, wire.OK, "the gate's folder is its user's alone", "le dossier du programme n'est ouvert qu'à son utilisateur")
	}
	probe := filepath.Join(dir, "check.probe")
	if err := errors.Join(durable.WriteFile(probe, []byte("ecluse\n")), os.Remove(probe)); err != nil {
		x.add(PartFolder, wire.Stop, "the gate's folder cannot be written: %v", "le dossier du programme ne peut être écrit : %v", err)
	}
	free, remote := diskOf(dir)
	if remote != "" {
		x.add(PartFolder, wire.Stop, "the gate's folder is on a network file system (%s): put it on a disk of its own machine",
			"le dossier du programme est sur un système de fichiers réseau (%s) : placez-le sur un disque de sa propre machine", remote)
	}
	switch mib := free >> 20; {
	case free < 0: // it cannot be told
	case free < spaceStop:
		x.add(PartFolder, wire.Stop, "%d MiB are free on its disk: make room", "il reste %d Mio sur son disque : faites de la place", mib)
	case free < spaceWarn:
		x.add(PartFolder, wire.Warn, "%d MiB are free on its disk", "il reste %d Mio sur son disque", mib)
	default:
		x.add(PartFolder, wire.OK, "%d MiB are free on its disk", "il reste %d Mio sur son disque", mib)
	}
}

func (x *checkup) held(h *gate.Home) {
	switch hold, err := h.Held(); {
	case err != nil:
		x.fails(PartFolder, err)
	case hold != nil:
		x.add(PartFolder, wire.Warn, "the gate is held since %s: %s", "le programme est suspendu sur place depuis %s : %s", hold.Since.Format(time.RFC3339), hold.Because)
	}
}

// orphans names folders of rows kept that the gate's ledger does not know.
func (x *checkup) orphans(h *gate.Home) {
	all, err := h.Orphans()
	if err != nil {
		x.fails(PartFolder, err)
	}
	for _, o := range all {
		if o.Until != "" {
			x.add(PartFolder, wire.Warn, "kept/%q holds rows put aside that the gate's ledger does not know: they are erased after %s; if they are of no erasure under way, the ledger was put back from a copy",
				"kept/%q contient des lignes mises de côté que le registre du programme ne connaît pas : elles seront effacées après le %s ; si aucun effacement n'est en cours, le registre vient d'une copie", o.Name, o.Until)
			continue
		}
		x.add(PartFolder, wire.Warn, "kept/%q is not known to the gate's ledger, and nothing in it says until when it is kept: nobody erases it; if no erasure is under way, remove it",
			"kept/%q n'est pas connu du registre du programme, et rien n'y dit jusqu'à quand le conserver : personne ne l'efface ; si aucun effacement n'est en cours, supprimez-le", o.Name)
	}
}

// databases looks at the gate's database, and at the test base of a target gate.
func (x *checkup) databases(ctx context.Context, c *config.Gate, at exchange.Place) {
	x.database(ctx, c.Database(), at)
	switch r := c.Rehearsal; {
	case r == nil:
	case at != exchange.TargetPlace:
		x.add(PartDatabase, wire.Stop, "rehearsal: a source gate loads nothing: take it out of %s", "rehearsal : un programme côté ancien logiciel ne charge rien : retirez-le de %s", config.FileName)
	default:
		x.add(PartDatabase, wire.OK, "rehearsals go into %s, and nowhere else", "les migrations à blanc vont dans %s, et nulle part ailleurs", r.System)
		x.database(ctx, r.Database(), at)
		x.apart(ctx, c)
	}
}

// apart looks whether the test base is the gate's own database under another name.
func (x *checkup) apart(ctx context.Context, c *config.Gate) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	main, test, err := openBases(c)
	if err != nil {
		return // it was said above
	}
	defer func() { _ = errors.Join(main.DB.Close(), test.DB.Close()) }()
	if same, err := test.DB.Same(ctx, main.DB); err == nil && same {
		x.add(PartDatabase, wire.Stop, "rehearsal: it is the gate's own database under another name: name another one in %s",
			"rehearsal : c'est la base même du programme sous un autre nom : nommez-en une autre dans %s", config.FileName)
	}
}

// database connects both accounts and says what can be told of their rights.
func (x *checkup) database(ctx context.Context, c config.Database, at exchange.Place) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if c.Engine == ecluse.MySQL && at == exchange.TargetPlace {
		x.fails(PartDatabase, unknownEngine(c.Engine, "written to"))
		return
	}
	for _, a := range []struct {
		name    string
		account *config.Account
	}{{"catalogue", &c.Catalogue}, {"rows", &c.Rows}} {
		says, err := reaches(ctx, c.Engine, a.account, at == exchange.TargetPlace && a.name == "rows")
		if err != nil {
			x.add(PartDatabase, wire.Stop, "the account %s: %v", "le compte %s : %v", a.name, err)
			continue
		}
		x.add(PartDatabase, wire.OK, "the account %s connects to %s", "le compte %s se connecte à %s", a.name, says.server)
		if says.super {
			x.add(PartDatabase, wire.Warn, "the account %s is an administrator of the database: ecluse gate grants writes the SQL of a narrow one",
				"le compte %s est administrateur de la base : ecluse gate grants écrit le SQL d'un compte restreint", a.name)
		}
		if a.name == "catalogue" && at == exchange.SourcePlace && says.tables > 0 {
			x.add(PartDatabase, wire.Warn, "the account catalogue may read rows of %d tables, and needs none", "le compte catalogue peut lire les lignes de %d tables, et n'a besoin d'aucune", says.tables)
		}
	}
}

// reached is what a database says of an account.
type reached struct {
	server string
	super  bool
	tables int // whose rows it may read, as far as can be told
}

func reaches(ctx context.Context, e ecluse.Engine, a *config.Account, write bool) (says reached, err error) {
	switch e {
	case ecluse.SQLite:
		mode := sqlite.ReadOnly
		if write {
			mode = sqlite.ReadWrite
		}
		conn, err := sqlite.Open(ctx, a.File, mode)
		if err != nil {
			return says, err
		}
		return reached{server: "SQLite"}, conn.Close()
	case ecluse.PostgreSQL:
		return reachesPostgres(ctx, a)
	case ecluse.MySQL:
		return reachesMySQL(ctx, a)
	}
	return says, ecluse.Errorf(ecluse.Invalid, connecting, "no engine %s", e)
}

func reachesPostgres(ctx context.Context, a *config.Account) (says reached, err error) {
	c, err := postgresConfig(a)
	if err != nil {
		return says, err
	}
	conn, err := postgres.Connect(ctx, c)
	if err != nil {
		return says, err
	}
	defer conn.Close()
	says.server = fmt.Sprintf("PostgreSQL %d.%d", conn.Version()/10000, conn.Version()%10000)
	super, err := conn.One(ctx, `SELECT rolsuper::text FROM pg_catalog.pg_roles WHERE rolname = current_user`)
	if err != nil {
		return says, err
	}
	says.super = super == "true"
	count, err := conn.One(ctx, `SELECT count(*)::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
		AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')`)
	if err == nil {
		_, err = fmt.Sscan(count, &says.tables)
	}
	return says, err
}

func reachesMySQL(ctx context.Context, a *config.Account) (says reached, err error) {
	c, err := mysqlConfig(a)
	if err != nil {
		return says, err
	}
	conn, err := mysql.Connect(ctx, c)
	if err != nil {
		return says, err
	}
	defer conn.Close()
	version, err := conn.One(ctx, `SELECT version()`)
	if err != nil {
		return says, err
	}
	says.server = "MySQL " + version
	if conn.MariaDB() {
		says.server = "MariaDB " + version
	}
	err = conn.Each(ctx, `SELECT privilege_type FROM information_schema.user_privileges`, func(row []string) error {
		says.super = says.super || strings.EqualFold(row[0], "SUPER") || strings.EqualFold(row[0], "CREATE USER")
		return nil
	})
	return says, err
}

// network goes the way to the server, and asks it whether it lets the gate in.
func (x *checkup) network(ctx context.Context, c *config.Gate, h *gate.Home) {
	o, err := reach(c, h)
	if err != nil {
		x.fails(PartNetwork, err)
		return
	}
	for _, f := range wire.Check(ctx, o.Options, c.Server) {
		x.found = append(x.found, GateFinding{Part: PartNetwork, Level: f.Level, Found: f.Found, Send: f.Send})
		if f.Level == wire.Stop {
			return
		}
	}
	x.server(ctx, o, h)
}

// asking is how long a server may take to say that it does not let a gate in; one that
// lets it in waits for work.
const asking = 3 * time.Second

func (x *checkup) server(ctx context.Context, o client.Options, h *gate.Home) {
	if err := client.Enrol(ctx, o, h.Lock(), evidence.Signed{}); err != nil {
		x.fails(PartServer, err)
		return
	}
	g, err := client.NewGate(o)
	if err != nil {
		x.fails(PartServer, err)
		return
	}
	defer g.Disconnect()
	within, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	_, err = g.Wanted(within, nil)
	if kind := ecluse.KindOf(err); err != nil && within.Err() == nil && (kind == ecluse.Refused || kind == ecluse.WaitsForSign) {
		x.add(PartServer, wire.Warn, "the controller has not confirmed this gate: read the words that ecluse gate enrol shows to them, by telephone",
			"le responsable de traitement n'a pas confirmé ce programme : lisez-lui au téléphone les mots qu'affiche ecluse gate enrol")
		return
	}
	if err != nil && within.Err() == nil {
		x.fails(PartServer, err)
		return
	}
	x.add(PartServer, wire.OK, "the server lets this gate in", "le serveur admet ce programme")
}
