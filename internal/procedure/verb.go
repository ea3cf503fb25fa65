package procedure

// Text is the same words in English and French.
type Text struct{ EN, FR string }

// Verb is something that moves a migration, or that is done to it.
type Verb string

// The verbs of people.
const (
	SignContract    Verb = "sign-contract"
	ConfirmGate     Verb = "confirm-gate"
	RetireGate      Verb = "retire-gate"
	OpenMigration   Verb = "open"
	SignInstruction Verb = "sign-instruction"
	SignMapping     Verb = "sign-mapping"
	ApproveRead     Verb = "approve-read"
	RefuseRead      Verb = "refuse-read"
	ApproveLoad     Verb = "approve-load"
	RefuseLoad      Verb = "refuse-load"
	SignReasons     Verb = "sign-dispositions"
	Go              Verb = "go"
	NoGo            Verb = "no-go"
	Accept          Verb = "accept"
	Undo            Verb = "undo"
	Erase           Verb = "erase"
	AllowLeaving    Verb = "allow-leaving"
	EraseKept       Verb = "erase-kept"
	Suspend         Verb = "suspend"
	Object          Verb = "object"
	Resume          Verb = "resume"
)

// The verbs of the gates and of the lock.
const (
	Inspect       Verb = "inspect"
	PlanRead      Verb = "plan-read"
	LapseRead     Verb = "lapse-read"
	VoidRead      Verb = "void-read"
	BeginReading  Verb = "begin-reading"
	CatchUp       Verb = "catch-up"
	EndCatchUp    Verb = "end-catch-up"
	StoreChunk    Verb = "store-chunk"
	FinishReading Verb = "finish-reading"
	PlanLoad      Verb = "plan-load"
	LapseLoad     Verb = "lapse-load"
	BeginLoading  Verb = "begin-loading"
	FinishLoading Verb = "finish-loading"
	Compare       Verb = "compare"
	FinishUndo    Verb = "finish-undo"
	Leave         Verb = "leave"
	KeepInUse     Verb = "keep-in-use"
	DestroyKey    Verb = "destroy-key"
	FinishErasure Verb = "finish-erasure"
	Close         Verb = "close"
)

// Text says the verb in plain words.
func (v Verb) Text() Text {
	if t, ok := verbs()[v]; ok {
		return t
	}
	return Text{string(v), string(v)}
}

func verbs() map[Verb]Text {
	return map[Verb]Text{
		SignContract:    {"sign the contract", "signer le contrat"},
		ConfirmGate:     {"confirm the gate", "confirmer l'identité du programme"},
		RetireGate:      {"retire the gate", "retirer le programme"},
		OpenMigration:   {"open the migration", "ouvrir la reprise"},
		SignInstruction: {"sign the instruction", "signer l'instruction"},
		SignMapping:     {"sign the mapping", "signer la table de transcodage"},
		ApproveRead:     {"approve the read plan", "approuver le plan de lecture"},
		RefuseRead:      {"refuse the read plan", "refuser le plan de lecture"},
		ApproveLoad:     {"approve the load plan", "approuver le plan de chargement"},
		RefuseLoad:      {"refuse the load plan", "refuser le plan de chargement"},
		SignReasons:     {"sign what becomes of the rejects", "signer le sort des rejets"},
		Go:              {"say go: the laboratory works in the new software", "donner le feu vert : le laboratoire travaille dans le nouveau logiciel"},
		NoGo:            {"say no-go", "refuser le feu vert"},
		Accept:          {"accept the migration", "prononcer la recette"},
		Undo:            {"order the passage undone", "ordonner l'annulation du passage"},
		Erase:           {"order erasure", "ordonner l'effacement"},
		AllowLeaving:    {"have it erased even if the load cannot be taken out", "faire effacer même si le chargement ne peut être retiré"},
		EraseKept:       {"have rows put aside that are kept erased before their day", "faire effacer avant leur jour les lignes mises de côté qui sont conservées"},
		Suspend:         {"suspend the migration", "suspendre la reprise"},
		Object:          {"object", "s'opposer"},
		Resume:          {"resume the migration", "reprendre le cours de la reprise"},

		Inspect:       {"inspect the catalogue", "relever le catalogue"},
		PlanRead:      {"compile the read plan", "compiler le plan de lecture"},
		LapseRead:     {"let the approval of the read plan lapse", "laisser l'approbation du plan de lecture se périmer"},
		VoidRead:      {"void the read plan that the source no longer fits", "annuler le plan de lecture auquel la source ne correspond plus"},
		BeginReading:  {"begin to read", "commencer la lecture"},
		CatchUp:       {"read again what changed since, for the same passage", "relire ce qui a changé depuis, pour le même passage"},
		EndCatchUp:    {"give up a later reading that did not come to its end", "abandonner une relecture inachevée"},
		StoreChunk:    {"store a sealed chunk", "ranger un paquet scellé"},
		FinishReading: {"close the manifest", "clore le bordereau"},
		PlanLoad:      {"compile the load plan", "compiler le plan de chargement"},
		LapseLoad:     {"let the approval of the load plan lapse", "laisser l'approbation du plan de chargement se périmer"},
		BeginLoading:  {"begin to load", "commencer le chargement"},
		FinishLoading: {"finish loading", "terminer le chargement"},
		Compare:       {"read the target back and compare", "relire la cible et comparer"},
		FinishUndo:    {"finish undoing the passage", "achever l'annulation du passage"},
		Leave:         {"leave in the target what could not be taken out", "laisser dans la cible ce qui n'a pu être retiré"},
		KeepInUse:     {"leave in the target what the laboratory works in", "laisser dans la cible ce avec quoi le laboratoire travaille"},
		DestroyKey:    {"destroy its half of the key", "détruire sa moitié de la clé"},
		FinishErasure: {"destroy the chamber's content and look for remains", "détruire le contenu du dépôt et chercher des restes"},
		Close:         {"close the file of evidence", "clore le dossier de preuve"},
	}
}
