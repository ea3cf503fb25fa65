package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// words are the help texts, English then French.
type words struct{ en, fr string }

func helpTexts() map[string]words {
	return map[string]words{
		"ecluse": {
			"Moves a laboratory's data from one software to another under signature: sealed, proven equal, accepted, erased.\n\nExit status: " + exitLine(false) + ".",
			"Reprend les données d'un laboratoire d'un logiciel à l'autre sous signature : scellées, prouvées égales, reçues, effacées.\n\nCode de retour : " + exitLine(true) + ".",
		},
		"json_flag": {"Print the result, or the error, as one JSON object.", "Donner le résultat, ou l'erreur, en un objet JSON."},
		"lang_flag": {"Language: en or fr (default: the system's).", "Langue : en ou fr (par défaut celle du système)."},
		"context_flag": {
			"The context, one laboratory on one server, instead of the current one. Contexts are in contexts.yaml, among the user's own settings or where ECLUSE_CONFIG says.",
			"Le contexte, un laboratoire sur un serveur, au lieu du contexte courant. Les contextes sont dans contexts.yaml, parmi les réglages de l'utilisateur ou là où le dit ECLUSE_CONFIG.",
		},
		"plans_flag": {"Folder of this machine that plans are written to.", "Dossier de cette machine où les plans sont écrits."},
		"as_flag": {
			"Who you are, to log in and to sign: a private key file, or the public key or fingerprint of a key in ssh-agent. Without it, the key that the context names.",
			"Qui vous êtes, pour vous connecter et pour signer : un fichier de clé privée, ou la clé publique ou l'empreinte d'une clé de ssh-agent. À défaut, la clé que nomme le contexte.",
		},
		"migration_flag": {"The migration; may be left out when there is only one.", "La reprise ; inutile s'il n'y en a qu'une."},
		"because_flag":   {"Why, in a sentence without personal data; it is signed with the order and stays in the evidence.", "Pourquoi, en une phrase sans donnée personnelle ; elle est signée avec l'ordre et reste au dossier de preuve."},

		"init":            {"Make a lock folder: lock/, source/ and target/, which share no file.", "Créer un dossier d'écluse : lock/, source/ et target/, sans fichier commun."},
		"init_dir":        {"Folder to make.", "Dossier à créer."},
		"root_controller": {"Fingerprint of the laboratory's root key.", "Empreinte de la clé racine du laboratoire."},
		"root_processor":  {"Fingerprint of the processor's root key.", "Empreinte de la clé racine du sous-traitant."},

		"key":            {"Keys of people.", "Clés des personnes."},
		"key_new":        {"Make an Ed25519 key in OpenSSH's format; prints its fingerprint.", "Créer une clé Ed25519 au format d'OpenSSH ; affiche son empreinte."},
		"key_file":       {"File of the private key; the public one gets .pub.", "Fichier de la clé privée ; la publique reçoit .pub."},
		"key_comment":    {"Comment in the public key.", "Commentaire de la clé publique."},
		"key_passphrase": {"Ask for a passphrase.", "Demander une phrase de passe."},

		"context":          {"Laboratories that this device knows, each on its server.", "Les laboratoires que ce poste connaît, chacun sur son serveur."},
		"context_add":      {"Add a context from the line that a colleague or the server's operator sent; shows the roots, to compare by telephone.", "Ajouter un contexte à partir de la ligne envoyée par un collègue ou par qui tient le serveur ; montre les racines, à comparer au téléphone."},
		"context_list":     {"List the contexts; * marks the current one.", "Donner la liste des contextes ; * marque le contexte courant."},
		"context_use":      {"Make a context the current one.", "Faire d'un contexte le contexte courant."},
		"context_show":     {"Show a context, and the line that a colleague needs to add it; nothing in it is secret.", "Montrer un contexte, et la ligne qu'il faut à un collègue pour l'ajouter ; elle ne contient aucun secret."},
		"context_remove":   {"Take a context from this device.", "Retirer un contexte de ce poste."},
		"context_name":     {"Name of the context on this device: lower-case letters, digits, hyphens.", "Nom du contexte sur ce poste : minuscules, chiffres, tirets."},
		"context_which":    {"The context (default: the current one).", "Le contexte (par défaut le contexte courant)."},
		"context_line":     {"The line, in quotes: 'ecluse://HOST:PORT/LABORATORY?pin=…&lock=…&controller=…&processor=…'.", "La ligne, entre apostrophes : 'ecluse://HÔTE:PORT/LABORATOIRE?pin=…&lock=…&controller=…&processor=…'."},
		"context_as_line":  {"Only the line.", "La ligne seule."},
		"context_key":      {"Whose key signs by default: a private key file, or the fingerprint of a key in ssh-agent.", "La clé qui signe par défaut : un fichier de clé privée, ou l'empreinte d'une clé de ssh-agent."},
		"context_proxy":    {"Proxy between this device and the server: http://HOST:PORT, or http://NAME@HOST:PORT where the proxy has accounts.", "Proxy entre ce poste et le serveur : http://HÔTE:PORT, ou http://NOM@HÔTE:PORT si le proxy a des comptes."},
		"context_password": {"File with the password of the proxy's account, mode 0600.", "Fichier du mot de passe du compte du proxy, mode 0600."},

		"session":        {"Who is logged in, with which key.", "Qui est connecté, avec quelle clé."},
		"session_list":   {"List one's own sessions; a signatory sees those of their party; * marks this one.", "Donner la liste de ses sessions ; un signataire voit celles de sa partie ; * marque celle-ci."},
		"session_revoke": {"End a session: its token opens nothing any more.", "Clore une session : son jeton n'ouvre plus rien."},
		"session_id":     {"The session, as `ecluse session list` names it.", "La session, telle que la nomme `ecluse session list`."},
		"logout":         {"End this key's session, here and on the server; any command logs in again by itself.", "Clore la session de cette clé, ici et sur le serveur ; toute commande se reconnecte d'elle-même."},

		"roster":      {"Who may do what, for one party.", "Qui est habilité à quoi, pour une partie."},
		"roster_add":  {"Sign a roster with the party's root key and take it in.", "Signer une liste avec la clé racine de la partie et la verser."},
		"roster_file": {"The roster (roster/v1).", "La liste (roster/v1)."},

		"contract":       {"The contract of GDPR art. 28(3).", "Le contrat de l'art. 28(3) du RGPD."},
		"contract_check": {"Check that every mention is there and says something.", "Vérifier que chaque mention y est et dit quelque chose."},
		"contract_file":  {"The contract (contract/v1).", "Le contrat (contract/v1)."},

		"inspect":       {"List tables, columns and keys of a database: names, never rows.", "Relever tables, colonnes et clés d'une base : des noms, jamais de lignes."},
		"inspect_place": {"source or target.", "source ou target."},

		"instruction":       {"What the laboratory tells the processor to move.", "Ce que le laboratoire charge le sous-traitant de reprendre."},
		"instruction_new":   {"Print an instruction to fill in, with every table and column of the source as comments.", "Écrire une instruction à compléter, tables et colonnes de la source en commentaires."},
		"instruction_id":    {"The migration's id: lower-case letters, digits, hyphens.", "L'identifiant de la reprise : minuscules, chiffres, tirets."},
		"instruction_check": {"Check an instruction against the source; shows the verdict on every column.", "Vérifier une instruction contre la source ; montre le verdict de chaque colonne."},
		"instruction_file":  {"The instruction (instruction/v1).", "L'instruction (instruction/v1)."},

		"mapping":       {"How instructed columns become the target's.", "Comment les colonnes instruites deviennent celles de la cible."},
		"mapping_check": {"Check a mapping against instruction and target.", "Vérifier une table de transcodage contre l'instruction et la cible."},
		"mapping_file":  {"The mapping (mapping/v1); its frozen tables lie beside it.", "La table (mapping/v1) ; ses tables figées sont à côté."},

		"sign":           {"Sign a contract, an instruction or a mapping.", "Signer un contrat, une instruction ou une table de transcodage."},
		"sign_file":      {"The document.", "Le document."},
		"sign_with_plan": {"Of an instruction: approve in the same act the read plan compiled from it.", "D'une instruction : approuver dans le même acte le plan de lecture qui en est tiré."},

		"plan":               {"Compile what will leave and how it will enter; nothing is read or written.", "Compiler ce qui sortira et comment cela entrera ; rien n'est lu ni écrit."},
		"plan_passage":       {"dry, rehearsal or final.", "dry (essai à vide), rehearsal (migration à blanc) ou final (bascule)."},
		"plan_instruction":   {"Compile from an instruction that is not signed yet.", "Compiler à partir d'une instruction pas encore signée."},
		"approve":            {"Approve a read plan or a load plan.", "Approuver un plan de lecture ou de chargement."},
		"approve_file":       {"The plan's file, as `ecluse plan` wrote it.", "Le fichier du plan, tel qu'écrit par `ecluse plan`."},
		"approve_yes":        {"Do not ask on the terminal whether to approve, once the difference was shown.", "Ne pas demander au terminal s'il faut approuver, une fois la différence montrée."},
		"rehearse":           {"Try the mapping on invented rows: no row of anybody is read, and nothing is written.", "Essayer la table de transcodage sur des lignes inventées : aucune ligne de personne n'est lue, et rien n'est écrit."},
		"rehearse_twin":      {"On the synthetic twin: rows invented from the schema alone.", "Sur le jumeau synthétique : des lignes inventées d'après la seule structure."},
		"apply":              {"Carry out the approved plan, and no other; run it again after any interruption.", "Exécuter le plan approuvé, et nul autre ; à relancer après toute interruption."},
		"apply_plan":         {"The plan's file: refused unless it is the approved one; of a read plan, read and do not load.", "Le fichier du plan : refusé si ce n'est pas celui approuvé ; d'un plan de lecture, lire sans charger."},
		"apply_catch_up":     {"Read again what changed in the old laboratory since, and bring the passage that was loaded up to it.", "Relire ce qui a changé depuis dans l'ancien laboratoire, et mettre à jour le passage déjà chargé."},
		"apply_end_catch_up": {"Give up a reading after the first that does not come to its end: the passage is again as it was compared.", "Abandonner une relecture qui n'aboutit pas : le passage est de nouveau tel qu'il a été comparé."},
		"apply_until":        {"With --catch-up: again and again, the last time then.", "Avec --catch-up : encore et encore, la dernière fois à cette heure."},
		"apply_every":        {"With --until: how often.", "Avec --until : à quel intervalle."},
		"apply_rehearsal":    {"Load into the test base that the instruction names, and compare there.", "Charger dans la base de test que l'instruction nomme, et y comparer."},
		"apply_dry":          {"Map and check everything, write nothing.", "Tout transcoder et vérifier, ne rien écrire."},
		"status":             {"Where each migration stands, who must do what next, with the command to copy.", "Où en est chaque reprise, qui doit faire quoi, avec la commande à copier."},
		"report":             {"The comparison: counts, sums, rejects, differences.", "La comparaison : décomptes, sommes, rejets, différences."},
		"gate_report":        {"The last report with the exact figures, on the laboratory's machine: reasons with fewer than ten rows, which keys of a check differ, and which rows an undoing left. To the screen, never into a file.", "Le dernier rapport avec les chiffres exacts, sur la machine du laboratoire : motifs de moins de dix lignes, clés d'un contrôle qui diffèrent, lignes laissées par une annulation. À l'écran, jamais dans un fichier."},
		"gate_rejects":       {"Show the rows put aside, with their values, on the laboratory's machine: to the screen, never into a file.", "Montrer les lignes mises de côté, avec leurs valeurs, sur la machine du laboratoire : à l'écran, jamais dans un fichier."},
		"rejects":            {"What was put aside, by reason, column and shape (99/99/9999, A9), and the rows that the laboratory released, masked.", "Ce qui a été mis de côté, par motif, colonne et aspect (99/99/9999, A9), et les lignes que le laboratoire a communiquées, masquées."},
		"rejects_by":         {"row: each row; shape: exact counts by reason, column and shape.", "row : chaque ligne ; shape : décomptes exacts par motif, colonne et aspect."},
		"rejects_release":    {"Let others see, masked (letters A, digits 9), the columns behind this row's reason: DATASET:ROW as shown, DATASET@READING:ROW of a later reading.", "Communiquer, masquées (lettres A, chiffres 9), les colonnes en cause de cette ligne : JEU:LIGNE tels qu'affichés, JEU@LECTURE:LIGNE d'une lecture ultérieure."},
		"report_passage":     {"Of which passage: dry-1, final-1 (default: the last that ended).", "De quel passage : dry-1, final-1 (par défaut le dernier terminé)."},
		"rejects_passage":    {"Of which passage: dry-1, final-1 (default: the last that began).", "De quel passage : dry-1, final-1 (par défaut le dernier commencé)."},
		"sheet":              {"Print the cut-over sheet for the night: steps, people to ring, hours, the last hour for no-go, deadlines. Names and numbers are sent nowhere.", "Imprimer la feuille de bascule pour la nuit : étapes, personnes à appeler, horaires, dernière heure pour refuser le feu vert, échéances. Noms et numéros ne sont envoyés nulle part."},
		"sheet_file":         {"sheet.yaml: when the night begins and the laboratory opens, people, steps of the laboratory's own.", "sheet.yaml : début de la nuit et réouverture du laboratoire, personnes, étapes propres au laboratoire."},
		"sheet_html":         {"Write it as HTML, for a screen or A4.", "L'écrire en HTML, pour l'écran ou en A4."},
		"sheet_pdf":          {"Write it as PDF, A4.", "L'écrire en PDF, A4."},
		"go":                 {"Say go of the final passage that was compared: the laboratory works in the new software, and accepts when it is sure.", "Donner le feu vert à la bascule comparée : le laboratoire travaille dans le nouveau logiciel, et prononce la recette quand il est sûr."},
		"go_open":            {"What stays open, whose it is (a person of a roster) and until which day; give it again for each.", "Ce qui reste ouvert, son porteur (une personne habilitée) et le jour limite ; à répéter pour chaque point."},
		"no_go":              {"Say no-go of the final passage that was compared: the laboratory stays in the old software.", "Refuser le feu vert à la bascule comparée : le laboratoire reste dans l'ancien logiciel."},
		"no_go_undo":         {"Take the passage out of the target at once, by a second act of the same key.", "Retirer aussitôt le passage de la cible, par une seconde signature de la même clé."},
		"undo_because":       {"Why; signed with the order. After a go it has to be said.", "Le motif, signé avec l'ordre. Après un feu vert il est obligatoire."},
		"accept":             {"Accept the load, with a disposition for each dataset and reason of rejects.", "Prononcer la recette, avec le sort de chaque motif de rejet, par jeu de données."},
		"accept_reject":      {"What becomes of the rows rejected for a reason, in words; for one dataset alone: 'DATASET: REASON=…'.", "Le sort des lignes rejetées pour un motif, en clair ; pour un seul jeu de données : « JEU: MOTIF=… »."},
		"accept_all":         {"What becomes of every rejected row.", "Le sort de toutes les lignes rejetées."},
		"accept_reserve":     {"A difference of the report, `table NAME` or `check NAME`, accepted because it is explained: why, who follows it up (a person of a roster) and until which day; give it again for each.", "Un écart du rapport, `table NOM` ou `check NOM`, accepté parce qu'il est expliqué : pourquoi, qui le suit (une personne habilitée) et jusqu'à quel jour ; à répéter pour chaque écart."},
		"object":             {"Object: holds the migration (GDPR art. 28(3), last sentence).", "S'opposer : suspend la reprise (RGPD art. 28(3), dernière phrase)."},
		"suspend":            {"Hold the migration: nothing is read, stored, loaded or compared.", "Suspendre la reprise : rien n'est lu, rangé, chargé ni comparé."},
		"resume":             {"Lift one's own suspension or objection.", "Lever sa propre suspension ou opposition."},
		"undo":               {"Refuse the load and take an unaccepted passage out of the target, back to the sums of before but for what people changed since, which is left and listed; interrupted, it goes on with nobody's key.", "Refuser le chargement et retirer de la cible un passage sans recette, jusqu'aux sommes d'avant sauf ce que des personnes ont modifié depuis, qui est laissé et listé ; interrompu, il continue sans la clé de personne."},
		"erase_rejects":      {"Order only the rows put aside erased that the laboratory's gate keeps after the acceptance, before their day.", "N'ordonner que l'effacement, avant leur jour, des lignes mises de côté que le programme du laboratoire conserve après la recette."},
		"erase":              {"Order erasure now. A load that the laboratory works in since a go stays, and can no longer be undone.", "Ordonner l'effacement. Un chargement dans lequel le laboratoire travaille depuis un feu vert reste, et ne peut plus être annulé."},
		"even_if_loaded": {
			"A load that cannot be taken out of the target does not keep the keys: it stays there and the certificate names it. By a signatory only.",
			"Un chargement qui ne peut être retiré de la cible ne retient pas les clés : il y reste et l'attestation le nomme. Par un signataire seulement.",
		},
		"due":              {"Have the server do now what is due; it does so by itself too. What fails ends it with another code than 0.", "Faire faire maintenant par le serveur ce qui est échu ; il le fait aussi de lui-même. Ce qui échoue donne un autre code que 0."},
		"due_watch":        {"Stay and tell what is done, until interrupted; with --json one object a line.", "Rester et dire ce qui est fait, jusqu'à interruption ; avec --json un objet par ligne."},
		"grants":           {"Print the SQL that makes the narrow accounts, for the database's administrator.", "Écrire le SQL des comptes restreints, pour l'administrateur de la base."},
		"grants_verb":      {"inspect, read or load.", "inspect, read ou load."},
		"grants_user":      {"Name of the account.", "Nom du compte."},
		"grants_rehearsal": {"For the target's test base.", "Pour la base de test, côté nouveau logiciel."},
		"grants_host":      {"Address the account may come from (MariaDB and MySQL); by default the one this gate connects from, else %.", "Adresse d'où le compte peut venir (MariaDB et MySQL) ; à défaut celle d'où ce programme se connecte, sinon %."},
		"gate":             {"The program beside a database: what is done at its own console.", "Le programme à côté d'une base : ce qui se fait à sa propre console."},
		"gate_dir":         {"The gate's folder.", "Le dossier du programme."},
		"gate_enrol": {
			"Make a gate's folder, say in a signed paper what it is and where it stands, hand that in, and show eight words to read to the controller; run it again after any interruption.",
			"Créer le dossier d'un programme, déclarer dans un document signé ce qu'il est et où il se trouve, le remettre, et afficher huit mots à lire au responsable ; à relancer après toute interruption.",
		},
		"gate_place":           {"The database it stands beside: source or target.", "La base à côté de laquelle il se trouve : source ou target."},
		"gate_system":          {"The software whose database it is.", "Le logiciel dont c'est la base."},
		"gate_stands_at":       {"Where its machine stands: an organisation and a town, no person.", "Où se trouve sa machine : un organisme et une ville, jamais une personne."},
		"gate_machine":         {"Whose people administer the machine: controller, processor or both with a comma.", "Qui administre la machine : controller, processor ou les deux avec une virgule."},
		"gate_database":        {"Whose people administer the database, likewise.", "Qui administre la base, de même."},
		"gate_root_controller": {"Fingerprint of the laboratory's root key, as it was read to you by telephone: it must agree with the line. Asked for when absent.", "Empreinte de la clé racine du laboratoire, telle qu'on vous l'a lue au téléphone : elle doit concorder avec la ligne. Demandée si elle manque."},
		"gate_root_processor":  {"Fingerprint of the processor's root key, likewise.", "Empreinte de la clé racine du sous-traitant, de même."},
		"gate_run":             {"Work: do what the lock asks for, as far as signatures and the gate's own ledger allow; ends with Ctrl-C or SIGTERM.", "Travailler : faire ce que l'écluse demande, pour autant que signatures et registre propre le permettent ; s'arrête par Ctrl-C ou SIGTERM."},
		"gate_carry":           {"Do what was carried here, at a source gate that no line reaches, and sign what is to be carried back; run it again after any interruption.", "Faire ce qui a été porté ici, côté source quand aucune ligne n'y mène, et signer ce qui est à rapporter ; à relancer après toute interruption."},
		"gate_lost":            {"What this gate answered before is lost, and never came in: do it again.", "Ce que ce programme a répondu auparavant est perdu, et n'est jamais arrivé : le refaire."},
		"gate_carried":         {"The folder that was carried here, of a gate without a line.", "Le dossier porté ici, pour un programme sans ligne."},
		"gate_enrol_carried":   {"No line reaches this source gate: what it says is carried by hand, in this folder.", "Aucune ligne ne mène à ce programme source : ce qu'il dit est porté à la main, dans ce dossier."},
		"carry":                {"Carry to a source gate that no line reaches, and back: by disk, SFTP or a share.", "Porter à un programme source qu'aucune ligne n'atteint, et en rapporter : par disque, SFTP ou partage."},
		"carry_out":            {"Write into a folder what a gate without a line needs to go on, signed by the lock.", "Écrire dans un dossier ce qu'il faut à un programme sans ligne pour continuer, signé par l'écluse."},
		"carry_in":             {"Take in what a gate without a line said in a folder, and clear it there; run it again after any interruption.", "Prendre ce qu'un programme sans ligne a dit dans un dossier, et l'y effacer ; à relancer après toute interruption."},
		"carry_folder":         {"The folder that is carried.", "Le dossier porté."},
		"carry_gate":           {"The gate, by its fingerprint (default: the only one without a line).", "Le programme, par son empreinte (par défaut le seul sans ligne)."},
		"gate_once":            {"Do what is asked now, and end when nothing is: for a laptop, without any right of an administrator.", "Faire ce qui est demandé maintenant, et finir quand plus rien ne l'est : pour un portable, sans droit d'administrateur."},
		"gate_check":           {"Look at folder, clock, database and network, with the sentence to send to whoever runs the network; exit status 1 if something stops it.", "Examiner dossier, horloge, base et réseau, avec la phrase à envoyer à qui tient le réseau ; code de retour 1 si quelque chose l'arrête."},
		"gate_config":          {"The gate's settings, gate.yaml.", "Les paramètres du programme, gate.yaml."},
		"gate_config_check":    {"Say everything that is wrong in gate.yaml at once.", "Dire d'un coup tout ce qui ne va pas dans gate.yaml."},
		"gate_hold":            {"Hold the gate: until it is released here it reads, loads, lends and compiles nothing, not even for an undoing; it still erases, and undoes what needs no loan.", "Suspendre le programme : jusqu'à sa reprise ici il ne lit, ne charge, ne prête et ne compile rien, pas même pour une annulation ; il efface encore, et annule ce qui ne demande aucun prêt."},
		"gate_because":         {"Why, in a line without personal data; the lock shows it.", "Pourquoi, en une ligne sans donnée personnelle ; l'écluse la montre."},
		"gate_release":         {"Let it work again.", "Le laisser travailler de nouveau."},
		"gates":                {"The gates of the laboratory, and whether they may work.", "Les programmes du laboratoire, et s'ils peuvent travailler."},
		"gates_list":           {"List the gates, and since when each was not heard of.", "Donner la liste des programmes, et depuis quand chacun est sans nouvelles."},
		"gates_confirm":        {"Confirm a gate by the eight words on its own screen; by a signatory of the controller.", "Confirmer un programme par les huit mots de son propre écran ; par un signataire du responsable."},
		"gates_retire":         {"Take a gate's right to work away; by a signatory of either party.", "Retirer à un programme le droit de travailler ; par un signataire de l'une des parties."},
		"gates_gate":           {"The gate, by the beginning of its fingerprint (default: the only one that waits).", "Le programme, par le début de son empreinte (par défaut le seul en attente)."},
		"gates_words":          {"The eight words, in English or French; without it they are asked for.", "Les huit mots, en français ou en anglais ; à défaut ils sont demandés."},

		"evidence":        {"Write the evidence folder.", "Écrire le dossier de preuve."},
		"evidence_dir":    {"Folder to make.", "Dossier à créer."},
		"verify":          {"Check an evidence folder, offline. First line: OK, KO or KO not anchored.", "Vérifier un dossier de preuve, hors ligne. Première ligne : OK, KO ou KO not anchored."},
		"verify_receipts": {"Hold it against the receipts of this folder: every act handed in must be in the journal. Default: those that this device keeps beside its plans.", "Le confronter aux récépissés de ce dossier : tout acte remis doit être au journal. Par défaut : ceux que ce poste garde à côté de ses plans."},
		"verify_dir":      {"The evidence folder.", "Le dossier de preuve."},
		"demo":            {"The whole story on invented patients.", "Toute l'histoire sur des patients inventés."},
		"demo_patients":   {"How many patients.", "Combien de patients."},
		"demo_prepare":    {"Only make what the story begins with: both laboratories, keys, a lock, unsigned papers (docs/tutorial.md goes on).", "Ne faire que ce par quoi l'histoire commence : les deux laboratoires, des clés, un dépôt, des documents non signés (suite dans docs/tutorial.md)."},
		"demo_dir":        {"Folder to make (default: a new one in the temporary folder).", "Dossier à créer (par défaut un nouveau dans le dossier temporaire)."},
		"room":            {"Run a server and both gates on this machine, as three processes over TLS, until Ctrl-C: for trying, and for small laboratories.", "Faire tourner un serveur et les deux programmes sur cette machine, en trois processus sur TLS, jusqu'à Ctrl-C : pour essayer, et pour les petits laboratoires."},
		"room_dir":        {"The room's folder, made by ecluse init.", "Le dossier, créé par ecluse init."},
		"serve": {
			"Serve the laboratories of a server's folder, until interrupted; the first time it makes the folder, its settings and its key.",
			"Servir les laboratoires d'un dossier de serveur, jusqu'à interruption ; la première fois, créer le dossier, ses réglages et sa clé.",
		},
		"serve_listen":  {"Where to take connections (default: as server.yaml says).", "Où accepter les connexions (par défaut, selon server.yaml)."},
		"serve_verbose": {"Show a line for each request: id, route, status, time.", "Afficher une ligne par requête : identifiant, route, statut, durée."},
		"server_dir":    {"The server's folder.", "Le dossier du serveur."},
		"server_public": {"What people and gates reach the server by: https://HOST:PORT (default: as server.yaml says).", "Par quoi personnes et programmes atteignent le serveur : https://HÔTE:PORT (par défaut, selon server.yaml)."},
		"server_host":   {"One more name or address that the server's own certificate is for.", "Un nom ou une adresse de plus pour le certificat du serveur."},
		"lab":           {"The laboratories of a server.", "Les laboratoires d'un serveur."},
		"lab_add":       {"Make a laboratory on a server, in a folder of its own; prints the line that its people and gates need.", "Créer un laboratoire sur un serveur, dans un dossier à lui ; écrit la ligne qu'il faut à ses personnes et à ses programmes."},
		"lab_list":      {"List the laboratories of a server, each with its line.", "Donner la liste des laboratoires d'un serveur, chacun avec sa ligne."},
		"lab_name":      {"Name of the laboratory on the server: lower-case letters, digits, hyphens.", "Nom du laboratoire sur le serveur : minuscules, chiffres, tirets."},
		"completion": {
			"Print a script that completes commands, flags, values and files at TAB; it starts nothing and asks no server.",
			"Écrire un script qui complète commandes, options, valeurs et fichiers à la touche TAB ; il ne lance rien et n'interroge aucun serveur.",
		},
		"completion_shell": {"bash, zsh, fish or powershell.", "bash, zsh, fish ou powershell."},
		"man":              {"Write the manual pages, in English and in French.", "Écrire les pages de manuel, en anglais et en français."},
		"man_dir":          {"Folder of manual pages, such as /usr/local/share/man; English goes to man1, French to fr/man1.", "Dossier de pages de manuel, par exemple /usr/local/share/man ; l'anglais va dans man1, le français dans fr/man1."},
		"version":          {"Version, and the hash of the procedure.", "Version, et empreinte de la procédure."},
	}
}

// exits is what each exit code means, from 0.
func exits() []words {
	return []words{
		{"done", "fait"},
		{"error", "erreur"},
		{"plan differs", "plan différent"},
		{"refused by policy", "refusé par la règle"},
		{"verification failed", "vérification manquée"},
		{"waits for a signature", "attend une signature"},
	}
}

func exitLine(french bool) string {
	var all []string
	for code, w := range exits() {
		all = append(all, fmt.Sprint(code, " ", (&ui{french: french}).say(w.en, w.fr)))
	}
	return strings.Join(all, ", ")
}

func (u *ui) help(name string) string {
	w := helpTexts()[name]
	return u.say(w.en, w.fr)
}

// helped puts the help texts where the grammar names them, "${init}". Kong would do it
// too, and looks at every text again for every flag there is: a tenth of a second for each
// command that anybody types.
func (u *ui) helped(k *kong.Kong) error {
	texts := helpTexts()
	text := func(name string) string {
		w, ok := texts[strings.TrimSuffix(strings.TrimPrefix(name, "${"), "}")]
		if !ok {
			return name // kong says which
		}
		return strings.ReplaceAll(u.say(w.en, w.fr), "$", "$$")
	}
	return kong.Visit(k.Model.Node, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Node:
			v.Help = text(v.Help)
		case *kong.Value:
			v.Help = text(v.Help)
		}
		return next(nil)
	})
}
