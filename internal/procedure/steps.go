package procedure

import "ecluse"

// Step is one of the thirteen steps.
type Step struct {
	Number   int // from 1; 0 for what may happen at any time
	Name     Text
	What     Text // what happens, for people to read
	Law      Text // the article it answers to
	Evidence Text // what is kept of it
	Moves    []Move
}

// Each function below is a new value, so that nobody can change the table.

func people(s ecluse.Side, roles ...ecluse.Role) []Actor {
	var all []Actor
	for _, r := range roles {
		all = append(all, Person(s, r))
	}
	return all
}

func signatories() []Actor {
	return append(people(ecluse.Controller, ecluse.Signatory), people(ecluse.Processor, ecluse.Signatory)...)
}

func operators() []Actor {
	return append(people(ecluse.Controller, ecluse.Operator), people(ecluse.Processor, ecluse.Operator)...)
}

func controllerSigns() []Actor { return people(ecluse.Controller, ecluse.Signatory) }

// controllersPeople are all of them: whom the instruction names as a deputy may have
// any role.
func controllersPeople() []Actor {
	return people(ecluse.Controller, ecluse.Signatory, ecluse.Operator, ecluse.DPO, ecluse.Security)
}

func processorOperates() []Actor { return people(ecluse.Processor, ecluse.Operator) }

// written are the kinds of passage that write.
func written() []ecluse.PassageKind {
	return []ecluse.PassageKind{ecluse.Rehearsal, ecluse.Final}
}

// between lists the migration's states from one to another, both included.
func between(from, to State) []State {
	var all []State
	in := false
	for _, s := range Migrations() {
		in = in || s == from
		if in {
			all = append(all, s)
		}
		if s == to {
			break
		}
	}
	return all
}

// Steps is the procedure: thirteen steps, each with the moves it allows.
func Steps() []Step {
	return append(papers(), waters()...)
}

// papers are the steps in which nothing but names moves.
func papers() []Step {
	return []Step{
		{
			Number: 1,
			Name:   Text{"Contract", "Contrat"},
			What: Text{
				"Controller and processor sign one contract that holds every mention the law asks for. Without it no migration can be created.",
				"Le responsable de traitement et le sous-traitant signent un contrat portant toutes les mentions exigées. Sans lui, aucune reprise ne peut être créée.",
			},
			Law:      Text{"GDPR art. 28(3), 28(9)", "RGPD art. 28(3), 28(9)"},
			Evidence: Text{"the contract, one act of each party, both rosters", "le contrat, une signature de chaque partie, les deux listes de personnes habilitées"},
			Moves: []Move{
				{Verb: SignContract, By: signatories(), While: []State{None}},
			},
		},
		{
			Number: 2,
			Name:   Text{"Inspection", "Relevé"},
			What: Text{
				"Each gate says in a signed document where it stands and who administers its machine and its database; the controller confirms it by the words that it displays, and either party retires it. The source gate then lists the names, types and keys of the old database with an account that sees no value. Never a row.",
				"Le programme de chaque côté déclare dans un document signé où il se trouve et qui administre sa machine et sa base ; le responsable le confirme par les mots qu'il affiche, et l'une ou l'autre partie le retire. Le programme côté ancien logiciel relève ensuite noms, types et clés de l'ancienne base avec un compte qui ne voit aucune valeur. Jamais une ligne.",
			},
			Law:      Text{"GDPR art. 5(1)(c), 5(2), 29", "RGPD art. 5(1)(c), 5(2), 29"},
			Evidence: Text{"each gate's document and the act on it, the catalogue's hash", "le document de chaque programme et la signature qui le vise, l'empreinte du catalogue"},
			Moves: []Move{
				{Verb: ConfirmGate, By: controllerSigns(), While: []State{None}},
				{Verb: RetireGate, By: signatories(), While: []State{None}},
				{Verb: Inspect, By: []Actor{SourceGate, TargetGate}, While: between(None, Sealed)},
			},
		},
		{
			Number: 3,
			Name:   Text{"Instruction", "Instruction"},
			What: Text{
				"The controller picks columns, rows, purpose, target and deadline, and signs. A later version names the one it replaces, voids the plans made from it and sets the deadline anew, within the contract's. Once reading has begun, the deadline only comes nearer.",
				"Le responsable choisit colonnes, lignes, finalité, destination et échéance, et signe. Une version ultérieure nomme celle qu'elle remplace, annule les plans qui en sont tirés et fixe une nouvelle échéance, dans les limites du contrat. Une fois la lecture commencée, l'échéance ne peut plus qu'être avancée.",
			},
			Law:      Text{"GDPR art. 28(3)(a), 29", "RGPD art. 28(3)(a), 29"},
			Evidence: Text{"the instruction, the controller's act", "l'instruction, la signature du responsable"},
			Moves: []Move{
				{Verb: OpenMigration, By: append(operators(), signatories()...), While: []State{None}, To: Born},
				{Verb: SignInstruction, By: controllerSigns(), While: between(Born, Approved), To: Instructed, PassageTo: None, Held: true},
			},
		},
		{
			Number: 4,
			Name:   Text{"Mapping", "Transcodage"},
			What: Text{
				"The operator's mapping is checked against the instruction and the new database, then stored with its frozen tables under their hashes.",
				"La table de transcodage est vérifiée contre l'instruction et la nouvelle base, puis rangée avec ses tables figées sous leurs empreintes.",
			},
			Law:      Text{"GDPR art. 5(1)(d), 32(1)(b)", "RGPD art. 5(1)(d), 32(1)(b)"},
			Evidence: Text{"the mapping and its frozen tables", "la table de transcodage et ses tables figées"},
			Moves: []Move{
				{Verb: SignMapping, By: operators(), While: between(Born, Sealed), Held: true},
			},
		},
		{
			Number: 5,
			Name:   Text{"Read plan", "Plan de lecture"},
			What: Text{
				"The source gate compiles what will leave: statements, a verdict for every column of the old database, limits, recipient. Before the signature it is shown, and not yet a plan.",
				"Le programme côté ancien logiciel compile ce qui sortira : requêtes, verdict pour chaque colonne de l'ancienne base, limites, destinataire. Avant la signature il est montré, sans valoir plan.",
			},
			Law:      Text{"GDPR art. 5(1)(c), 25", "RGPD art. 5(1)(c), 25"},
			Evidence: Text{"the read plan", "le plan de lecture"},
			Moves: []Move{
				{Verb: PlanRead, By: []Actor{SourceGate}, While: []State{Born}},
				{Verb: PlanRead, By: []Actor{SourceGate}, While: between(Instructed, Approved), To: ReadPlanned, PassageTo: None},
			},
		},
		{
			Number: 6,
			Name:   Text{"Approval", "Approbation"},
			What: Text{
				"A signatory of the controller and an operator of the processor approve the same read plan: two parties, two people. Reading begins within 72 hours, or the approval lapses.",
				"Un signataire du responsable et un opérateur du sous-traitant approuvent le même plan : deux parties, deux personnes. La lecture commence dans les 72 heures, sinon l'approbation se périme.",
			},
			Law:      Text{"GDPR art. 29, 32(4)", "RGPD art. 29, 32(4)"},
			Evidence: Text{"two acts", "deux signatures"},
			Moves: []Move{
				{Verb: ApproveRead, By: controllerSigns(), While: []State{ReadPlanned}, To: ByController},
				{Verb: ApproveRead, By: controllerSigns(), While: []State{ByProcessor}, To: Approved},
				{Verb: ApproveRead, By: processorOperates(), While: []State{ReadPlanned}, To: ByProcessor},
				{Verb: ApproveRead, By: processorOperates(), While: []State{ByController}, To: Approved},
				{Verb: RefuseRead, By: append(controllerSigns(), processorOperates()...), While: between(ReadPlanned, Approved), To: Instructed, PassageTo: None, Held: true},
				{Verb: LapseRead, By: []Actor{Lock}, While: between(ByController, Approved), To: ReadPlanned, Held: true},
			},
		},
	}
}

// waters are the steps in which data move, or are destroyed.
func waters() []Step {
	return []Step{
		{
			Number: 7,
			Name:   Text{"Reading", "Lecture"},
			What: Text{
				"The source gate verifies everything, compiles the plan again, records what its account could and could not read, reads chunk by chunk, seals each for the target gate alone and signs it. A source that no longer fits the plan voids it, as long as no chunk is sealed. As often as the instruction grants, it reads again what changed since: a passage that was compared is brought up to it, and compared again; a reading that does not come to its end is given up, and the passage is as it was compared.",
				"Le programme côté ancien logiciel vérifie tout, recompile le plan, consigne ce que son compte pouvait lire ou non, lit paquet par paquet, scelle chacun pour le seul programme d'en face et le signe. Une source qui ne correspond plus au plan l'annule, tant qu'aucun paquet n'est scellé. Autant de fois que l'instruction l'accorde, il relit ce qui a changé depuis : un passage comparé est mis à jour, et comparé de nouveau ; une relecture qui n'aboutit pas est abandonnée, et le passage reste tel qu'il a été comparé.",
			},
			Law:      Text{"GDPR art. 5(1)(c), 32(1)(a)", "RGPD art. 5(1)(c), 32(1)(a)"},
			Evidence: Text{"the privilege record, the signed descriptors", "le relevé de droits, les descripteurs signés"},
			Moves: []Move{
				{Verb: BeginReading, By: []Actor{SourceGate}, While: []State{Approved, Reading}, To: Reading},
				{Verb: VoidRead, By: []Actor{Lock}, While: []State{Reading}, To: Instructed, Passage: []State{None, Undone, LoadPlanned, LoadApproved}, PassageTo: None},
				{Verb: CatchUp, By: []Actor{SourceGate}, While: []State{Sealed}, To: Reading, Passage: []State{Compared, Loading}, PassageTo: Loading, Kinds: written()},
				{Verb: EndCatchUp, By: []Actor{Lock}, While: []State{Reading}, To: Sealed, Passage: []State{Undone}, Held: true},
				{Verb: EndCatchUp, By: []Actor{Lock}, While: []State{Reading}, To: Sealed, Passage: []State{Loading}, PassageTo: Compared, Kinds: written(), Held: true},
			},
		},
		{
			Number: 8,
			Name:   Text{"Chamber", "Dépôt scellé"},
			What: Text{
				"The chamber checks signature, order and limits of each chunk and keeps ciphertext only, under a deadline. A signed manifest closes it.",
				"Le dépôt contrôle signature, ordre et limites de chaque paquet et ne garde que du chiffré, sous échéance. Un bordereau signé le clôt.",
			},
			Law:      Text{"GDPR art. 32(1)(a)", "RGPD art. 32(1)(a)"},
			Evidence: Text{"the closing manifest", "le bordereau de clôture"},
			Moves: []Move{
				{Verb: StoreChunk, By: []Actor{SourceGate}, While: []State{Reading}},
				{Verb: FinishReading, By: []Actor{SourceGate}, While: []State{Reading}, To: Sealed},
			},
		},
		{
			Number: 9,
			Name:   Text{"Loading", "Chargement"},
			What: Text{
				"The load plan is compiled and approved: by an operator for a dry run or a rehearsal, by the controller for the final passage, within 72 hours. The target gate verifies, compiles again, opens, maps and loads each chunk in one transaction. A dry run writes nothing. A rehearsal and a final passage wait until their mapping has passed on invented rows, a final one also, unless the instruction says why not, dry or in rehearsal.",
				"Le plan de chargement est compilé et approuvé : par un opérateur pour un essai à vide ou une migration à blanc, par le responsable pour la bascule, sous 72 heures. Le programme côté nouveau logiciel vérifie, recompile, ouvre, transcode et charge chaque paquet en une transaction. L'essai à vide n'écrit rien. La migration à blanc et la bascule attendent que leur table de transcodage ait passé l'épreuve de lignes inventées, la bascule aussi, là où l'instruction l'accorde, un essai à vide ou une migration à blanc.",
			},
			Law:      Text{"GDPR art. 28(3)(a), 32(1)(d)", "RGPD art. 28(3)(a), 32(1)(d)"},
			Evidence: Text{"the load plan, the act that approves it, the counts", "le plan de chargement, la signature qui l'approuve, les décomptes"},
			Moves: []Move{
				{Verb: PlanLoad, By: []Actor{TargetGate}, While: between(ReadPlanned, Sealed), Passage: []State{None, Undone, LoadPlanned, LoadApproved}, PassageTo: LoadPlanned},
				{Verb: ApproveLoad, By: operators(), While: between(ReadPlanned, Sealed), Passage: []State{LoadPlanned}, PassageTo: LoadApproved, Kinds: []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal}},
				{Verb: ApproveLoad, By: controllerSigns(), While: between(ReadPlanned, Sealed), Passage: []State{LoadPlanned}, PassageTo: LoadApproved},
				{Verb: RefuseLoad, By: append(controllerSigns(), operators()...), While: between(ReadPlanned, Sealed), Passage: []State{LoadPlanned, LoadApproved}, PassageTo: None, Held: true},
				{Verb: LapseLoad, By: []Actor{Lock}, While: between(ReadPlanned, Sealed), Passage: []State{LoadApproved}, PassageTo: LoadPlanned, Held: true},
				{Verb: BeginLoading, By: []Actor{TargetGate}, While: []State{Reading, Sealed}, Passage: []State{LoadApproved, Loading}, PassageTo: Loading},
				{Verb: FinishLoading, By: []Actor{TargetGate}, While: []State{Sealed}, Passage: []State{Loading}, PassageTo: Loaded, Kinds: written()},
				{Verb: FinishLoading, By: []Actor{TargetGate}, While: []State{Sealed}, Passage: []State{Loading}, PassageTo: None, Kinds: []ecluse.PassageKind{ecluse.Dry}},
			},
		},
		{
			Number: 10,
			Name:   Text{"Comparison", "Comparaison"},
			What: Text{
				"The target gate reads back what was written and compares: sums over every row, rows that stood there before, figures counted on both sides without the mapping.",
				"Le programme côté nouveau logiciel relit ce qui a été écrit et compare : sommes sur toutes les lignes, lignes déjà présentes, chiffres comptés des deux côtés sans le transcodage.",
			},
			Law:      Text{"GDPR art. 5(1)(d), 5(1)(f)", "RGPD art. 5(1)(d), 5(1)(f)"},
			Evidence: Text{"the signed report", "le rapport signé"},
			Moves: []Move{
				{Verb: Compare, By: []Actor{TargetGate}, While: []State{Sealed}, Passage: []State{Loaded, Compared}, PassageTo: Compared, Kinds: written()},
			},
		},
		{
			Number: 11,
			Name:   Text{"Decision", "Décision"},
			What: Text{
				"In the night of the cut-over a signatory of the controller, or a deputy whom the instruction names, says go or no-go of the report: go with what stays open, whose it is and until when; no-go with its reason. The controller reads the report, looks at the rows put aside on its own machine and signs acceptance, that night or days later, with reservations only for explained differences; acceptance without a go before it is both. Or the passage is undone, chunk by chunk, back to the sums of before: after a go by whoever could say it, with a reason. A rehearsal is always undone.",
				"La nuit de la bascule, un signataire du responsable, ou un suppléant que l'instruction nomme, donne ou refuse le feu vert au vu du rapport : le donne avec les points ouverts, leur porteur et leur date ; le refuse avec son motif. Le responsable lit le rapport, regarde sur sa propre machine les lignes mises de côté et prononce la recette, la même nuit ou des jours plus tard, avec réserves seulement pour des écarts expliqués ; une recette sans feu vert préalable vaut les deux. Ou le passage est annulé, paquet par paquet, jusqu'aux sommes d'avant : après un feu vert, par qui pouvait le donner, avec un motif. Une migration à blanc est toujours annulée.",
			},
			Law:      Text{"GDPR art. 5(2), 24", "RGPD art. 5(2), 24"},
			Evidence: Text{"the act of go or no-go with the open points or the reason, the act of acceptance with dispositions and reservations, or the report of undoing", "le feu vert donné ou refusé, avec les points ouverts ou le motif, la recette signée avec le sort des rejets et les réserves, ou le rapport d'annulation"},
			Moves: []Move{
				{Verb: SignReasons, By: controllerSigns(), While: []State{Sealed}, Passage: []State{Loading, Loaded, Compared, Live}, Kinds: written()},
				{Verb: Go, By: controllersPeople(), While: []State{Sealed}, Passage: []State{Compared, Declined}, PassageTo: Live, Kinds: []ecluse.PassageKind{ecluse.Final}},
				{Verb: NoGo, By: controllersPeople(), While: []State{Sealed}, Passage: []State{Compared}, PassageTo: Declined, Kinds: []ecluse.PassageKind{ecluse.Final}, Held: true},
				{Verb: Accept, By: controllerSigns(), While: []State{Sealed}, To: Accepted, Passage: []State{Compared, Live}, PassageTo: Accepted, Kinds: []ecluse.PassageKind{ecluse.Final}},
				{Verb: Undo, By: append(operators(), controllerSigns()...), While: []State{Reading, Sealed, Erasing}, Passage: takenOut(), PassageTo: Undoing, Kinds: written(), Held: true},
				{Verb: Undo, By: controllersPeople(), While: []State{Reading, Sealed, Erasing}, Passage: []State{Live}, PassageTo: Undoing, Kinds: []ecluse.PassageKind{ecluse.Final}, Held: true},
				{Verb: Undo, By: []Actor{Lock}, While: []State{Reading, Sealed, Erasing}, Passage: takenOut(), PassageTo: Undoing, Kinds: written(), Held: true},
				{Verb: Undo, By: append(append(operators(), controllerSigns()...), Lock), While: []State{Reading, Sealed, Erasing}, Passage: []State{Loading}, PassageTo: None, Kinds: []ecluse.PassageKind{ecluse.Dry}, Held: true},
				{Verb: FinishUndo, By: []Actor{TargetGate}, While: []State{Reading, Sealed, Erasing}, Passage: []State{Undoing}, PassageTo: Undone, Held: true},
			},
		},
		{
			Number: 12,
			Name:   Text{"Erasure", "Effacement"},
			What: Text{
				"Acceptance, the deadline, the contract's end or the controller's order erases, whichever comes first, with nobody's help. A load in which the laboratory works since a go stays, accepted or not: nothing but a person's order undoes it. Any other unaccepted load is undone first; one that cannot be, 72 hours after the deadline or at once when a signatory of the controller says so, is left in the target and named. Both halves of the key and the ciphertext are destroyed, then looked for. Rows put aside that the instruction keeps for a while longer go at the source gate when their day ends, or before it when the controller orders it.",
				"La recette, l'échéance, la fin du contrat ou l'ordre du responsable efface, au premier des quatre, sans l'aide de personne. Un chargement dans lequel le laboratoire travaille depuis un feu vert reste, avec ou sans recette : seul l'ordre d'une personne l'annule. Tout autre chargement sans recette est d'abord annulé ; s'il ne peut l'être, 72 heures après l'échéance ou aussitôt qu'un signataire du responsable le dit, il est laissé dans la cible et nommé. Les deux moitiés de la clé et le chiffré sont détruits, puis recherchés. Les lignes mises de côté que l'instruction conserve encore disparaissent du programme source à la fin de leur jour, ou avant sur ordre du responsable.",
			},
			Law:      Text{"GDPR art. 28(3)(g), 5(1)(e)", "RGPD art. 28(3)(g), 5(1)(e)"},
			Evidence: Text{"the certificate of erasure", "l'attestation d'effacement"},
			Moves: []Move{
				{Verb: Erase, By: append(people(ecluse.Controller, ecluse.Signatory, ecluse.DPO), Lock), While: between(Born, Erasing), To: Erasing, Held: true},
				{Verb: AllowLeaving, By: controllerSigns(), While: []State{Erasing}, Passage: InTarget(), Kinds: written(), Held: true},
				{Verb: Leave, By: []Actor{Lock}, While: []State{Erasing}, Passage: []State{Undoing}, PassageTo: Left, Kinds: written(), Held: true},
				{Verb: KeepInUse, By: []Actor{Lock}, While: []State{Erasing}, Passage: []State{Live}, PassageTo: InUse, Kinds: []ecluse.PassageKind{ecluse.Final}, Held: true},
				{Verb: DestroyKey, By: []Actor{SourceGate, TargetGate}, While: []State{Erasing}, Passage: quiet(), Held: true},
				{Verb: FinishErasure, By: []Actor{Lock}, While: []State{Erasing}, To: Erased, Passage: quiet(), Held: true},
				{Verb: EraseKept, By: people(ecluse.Controller, ecluse.Signatory, ecluse.DPO), While: []State{Erased, Closed}, Held: true},
			},
		},
		{
			Number: 13,
			Name:   Text{"Evidence", "Preuve"},
			What: Text{
				"Everything that was signed, counted and journalled is gathered in one folder that both gates sign and that anyone checks offline.",
				"Tout ce qui a été signé, compté et journalisé est réuni dans un dossier que les deux programmes signent et que chacun vérifie hors ligne.",
			},
			Law:      Text{"GDPR art. 5(2), 28(3)(h)", "RGPD art. 5(2), 28(3)(h)"},
			Evidence: Text{"the evidence bundle", "le dossier de preuve"},
			Moves: []Move{
				{Verb: Close, By: []Actor{Lock}, While: []State{Erased, Closed}, To: Closed, Held: true},
			},
		},
	}
}

// quiet are the states of a passage for which nothing is still to be taken out of
// the target.
func quiet() []State { return []State{None, LoadPlanned, LoadApproved, Undone, Left, InUse, Accepted} }

// Anytime is what the people named may do between birth and erasure.
func Anytime() Step {
	return Step{
		Name: Text{"At any time", "À tout moment"},
		What: Text{
			"A migration can be held. While it is, nothing is read, stored, loaded or compared; undoing and erasing go on, and its deadline does not move. Only the side that suspended or objected lifts it.",
			"Une reprise peut être suspendue. Rien n'est alors lu, rangé, chargé ni comparé ; annulation et effacement continuent, et l'échéance ne bouge pas. Seule la partie qui a suspendu ou s'est opposée lève la mesure.",
		},
		Law:      Text{"GDPR art. 28(3), last sentence; EU clauses 2021/915, clause 10", "RGPD art. 28(3), dernière phrase ; clauses UE 2021/915, clause 10"},
		Evidence: Text{"the act", "la signature"},
		Moves: []Move{
			{Verb: Suspend, By: append(people(ecluse.Controller, ecluse.Signatory, ecluse.Security), people(ecluse.Processor, ecluse.Signatory, ecluse.Security)...), While: between(Born, Erasing), Held: true},
			{Verb: Object, By: append(people(ecluse.Controller, ecluse.DPO), people(ecluse.Processor, ecluse.DPO, ecluse.Signatory)...), While: between(Born, Erasing), Held: true},
			{Verb: Resume, By: signatories(), While: between(Born, Erasing), Held: true},
		},
	}
}
