package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/desk"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
)

func (s *story) people(ctx context.Context) (err error) {
	s.old, err = MakeOld(ctx, s.path("ancilab.db"), s.Patients)
	if err != nil {
		return err
	}
	if err := MakeNew(ctx, s.path("novalab.db")); err != nil {
		return err
	}
	if s.cast, err = NewCast(s.path("keys")); err != nil {
		return err
	}
	if s.made, err = app.Init(ctx, s.path("room"), s.cast.Prints); err != nil {
		return err
	}
	s.out.Roots = Roots{s.cast.Prints[ecluse.Controller], s.cast.Prints[ecluse.Processor]}
	for gate, db := range map[string]string{"source": "ancilab.db", "target": "novalab.db"} {
		text := fmt.Sprintf("ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: %[1]q}\nrows: {file: %[1]q}\n", filepath.Join("..", "..", db))
		if err := durable.WriteFile(filepath.Join(s.path("room"), gate, "gate.yaml"), []byte(text)); err != nil {
			return err
		}
	}
	if s.room, err = app.Start(ctx, s.path("room"), app.StartOptions{Program: s.Program}); err != nil {
		return err
	}
	// Who asks without signing is Marc Tissot, the processor's operator.
	device := &app.Device{Context: s.room.Context(), Key: func() (ssh.Signer, error) { return s.cast.People[Marc].Signer, nil }}
	s.desk = app.Remote(device, s.path("plans"))
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		text, err := s.cast.Roster(side, s.now)
		if err != nil {
			return err
		}
		if _, err := s.desk.AddRoster(ctx, "roster.yaml", text, s.cast.Roots[side]); err != nil {
			return err
		}
	}
	return s.tell(ctx, 0, "Demonstration on invented people", "Démonstration sur des personnes inventées",
		line("Old laboratory ANCILAB: %d patients, %d results, log-ins and passwords, %d damaged rows.",
			"Ancien laboratoire ANCILAB : %d patients, %d résultats, identifiants et mots de passe, %d lignes abîmées.", s.old.Patients, s.old.Results, s.old.Damaged),
		line("New laboratory NOVALAB: another shape. Everything lies in %s", "Nouveau laboratoire NOVALAB : une autre forme. Tout est dans %s", s.Dir),
		line("Three processes, three folders, TLS between them: the server, which can open nothing, and a gate beside each database.",
			"Trois processus, trois dossiers, TLS entre eux : le serveur, qui ne peut rien ouvrir, et un programme auprès de chaque base."),
		line("Four people, each with a key of their own; two roots that signed only their rosters.",
			"Quatre personnes, chacune avec sa clé ; deux racines qui n'ont signé que les listes."))
}

// sign writes a document and has somebody sign it.
func (s *story) sign(ctx context.Context, name string, text []byte, who string, withPlan bool) error {
	file := s.path(name)
	if err := durable.WriteFile(file, text); err != nil {
		return err
	}
	_, err := s.desk.Sign(ctx, desk.SignRequest{File: file, Text: text, WithPlan: withPlan, Key: s.cast.People[who].Signer})
	return err
}

func (s *story) contract(ctx context.Context) error {
	text, err := s.cast.Contract(s.now)
	if err != nil {
		return err
	}
	for _, who := range []string{Julie, Claire} {
		if err := s.sign(ctx, "contract.yaml", text, who, false); err != nil {
			return err
		}
	}
	return s.tell(ctx, 1, "Contract", "Contrat",
		line("Claire Aubry (laboratory) and Julie Carron (processor) sign it: every mention of GDPR art. 28(3).",
			"Claire Aubry (laboratoire) et Julie Carron (sous-traitant) le signent : toutes les mentions de l'art. 28(3) du RGPD."))
}

func (s *story) inspect(ctx context.Context) error {
	v, err := s.desk.Inspect(ctx, exchange.SourcePlace)
	if err != nil {
		return err
	}
	columns := 0
	for _, t := range v.Catalogue.Tables {
		columns += len(t.Columns)
	}
	return s.tell(ctx, 2, "Inspection", "Relevé",
		line("%d tables, %d columns: names and types. Not a row was read.", "%d tables, %d colonnes : noms et types. Pas une ligne n'a été lue.", len(v.Catalogue.Tables), columns))
}

func (s *story) instruct(ctx context.Context) error {
	contract, err := os.ReadFile(s.path("contract.yaml"))
	if err != nil {
		return err
	}
	text, err := Instruction(ecluse.DigestOf(contract), s.made.SourceGate, s.made.TargetGate, s.Patients, s.now.AddDate(0, 1, 0))
	if err != nil {
		return err
	}
	if err := durable.WriteFile(s.path("instruction.yaml"), text); err != nil {
		return err
	}
	p, err := s.desk.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final, Instruction: text, File: "instruction.yaml", Key: s.cast.People[Marc].Signer})
	if err != nil {
		return err
	}
	s.out.ColumnsRefused, s.out.Credentials = p.Counts.Refused+p.Counts.Credential, p.Counts.Credential
	if err := s.sign(ctx, "instruction.yaml", text, Claire, true); err != nil {
		return err
	}
	s.out.ControllerSignatures++
	return s.tell(ctx, 3, "Instruction", "Instruction",
		line("%d columns taken, %d only compared, %d refused: of these, %d hold log-ins and passwords, which nobody can instruct.",
			"%d colonnes prises, %d seulement comparées, %d refusées : dont %d d'identifiants et mots de passe, que nul ne peut demander.",
			p.Counts.Taken, p.Counts.Filters, s.out.ColumnsRefused, p.Counts.Credential),
		line("Requests from 2015 to October 2020, their patients and results. Claire signs it with the plan that comes of it.",
			"Demandes de 2015 à octobre 2020, leurs patients et résultats. Claire la signe avec le plan qui en découle."))
}

func (s *story) mapping(ctx context.Context) error {
	instruction, err := os.ReadFile(s.path("instruction.yaml"))
	if err != nil {
		return err
	}
	text, frozen, err := Mapping(ecluse.DigestOf(instruction))
	if err != nil {
		return err
	}
	for name, table := range frozen {
		if err := durable.WriteFile(s.path(name), table); err != nil {
			return err
		}
	}
	if err := s.sign(ctx, "mapping.yaml", text, Marc, false); err != nil {
		return err
	}
	return s.tell(ctx, 4, "Mapping", "Transcodage",
		line("Marc Tissot's mapping is checked against instruction and new database: codes to LOINC, units, dates.",
			"La table de Marc Tissot est vérifiée contre l'instruction et la nouvelle base : codes vers LOINC, unités, dates."))
}

// approvePlan has somebody approve the plan in a file.
func (s *story) approvePlan(ctx context.Context, file, who string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = s.desk.Approve(ctx, text, s.cast.People[who].Signer)
	return err
}

func (s *story) plan(ctx context.Context) error {
	p, err := s.desk.Plan(ctx, desk.PlanRequest{Passage: ecluse.Dry})
	if err != nil {
		return err
	}
	if err := s.tell(ctx, 5, "Read plan", "Plan de lecture",
		line("Compiled again, it is to the byte what Claire signed: %d statements, and a verdict for each of %d columns.",
			"Recompilé, il est à l'octet près celui que Claire a signé : %d requêtes, et un verdict pour chacune des %d colonnes.",
			len(p.Read.Datasets), p.Counts.Taken+p.Counts.Filters+p.Counts.Refused+p.Counts.Credential)); err != nil {
		return err
	}
	s.readPlan = p.ReadFile
	if err := s.approvePlan(ctx, s.readPlan, Marc); err != nil {
		return err
	}
	return s.tell(ctx, 6, "Approval", "Approbation",
		line("Two parties, two people: Claire with the instruction, Marc now.", "Deux parties, deux personnes : Claire avec l'instruction, Marc maintenant."))
}
