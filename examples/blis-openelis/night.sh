#!/usr/bin/env bash
# The bad night on a real laboratory: the pair of run.sh when not everything goes well.
# A twin, a dry run, three mistakes in the mapping that it shows and that are corrected
# one by one without a row being read again, a rehearsal that is undone, the passage, a
# night's work in the old laboratory that is caught up with, no-go and undo, the passage
# again, go, an acceptance with a reservation, erasure, evidence. After each step its
# facts are held against expected.txt, or against a copy to which the night's work was
# done by hand (evening-, night- and morning-target.sql).
#
#   ECLUSE_MATERIAL=/path/to/material examples/blis-openelis/night.sh [WORK-FOLDER]
#
# What the commands said is in said.log of the work folder.
set -euo pipefail
. "$(dirname "$0")/pair.sh"
test_base=oetest_$tag by_hand=oehand_$tag
bases=("$db" "$test_base")
work=${1:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
exec 3>&1 >"$work/said.log" 2>&1 # the story goes to 3
ended() {
	local code=$?
	stop_room
	[ "$code" = 0 ] || printf 'night: exit %d; %s ends with\n%s\n' "$code" "$work/said.log" "$(tail -20 "$work/said.log")" >&3
}
trap ended EXIT

# ---- telling, and holding it to what it says --------------------------------------
line() {
	printf "$@"
	printf "$@" >&3
}
part() { line '%3ds  %s\n' "$SECONDS" "$*"; }
tell() { line '        %s\n' "$*"; }
fail() {
	part "✗ it does not hold: $1"
	exit 1
}
# holds WHAT COMMAND…
holds() {
	"${@:2}" || fail "$1"
	tell "✓ $1"
}
# field FILE NAME: the first of that name in what --json printed
field() { sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -1; }
not() { ! "$@"; }
# is VALUE COMMAND…: what it prints
is() { [ "$("${@:2}")" = "$1" ]; }
same() { diff "$1" "$2"; }
# facts_are FILE BASE
facts_are() { facts "$2" >facts.txt && same "$1" facts.txt; }
# stands_as_before BASE: as when it was empty; sequences are never set back
stands_as_before() { facts "$1" >facts.txt && same <(grep -v ^sequences empty.txt) <(grep -v ^sequences facts.txt); }
# seconds COMMAND…: runs it, and leaves in $took how long that was
seconds() {
	local begun=$EPOCHREALTIME
	"$@"
	took=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $begun }")
}

# ---- before the night ---------------------------------------------------------------
prepare_work "$work"
part 'two laboratories: C4G BLIS on MariaDB; OpenELIS Global on PostgreSQL, and its test base'
load_dumps
make_lock
{
	printf 'rehearsal:\n  system: OpenELIS test base\n'
	target_of "$test_base" | sed 's/^/  /'
} >>"$room/target/gate.yaml"
# Foreign keys without an index of their own: without one the server goes through the whole
# table for each row that is taken out of the one it refers to (docs/reference/postgresql.md).
index_references() {
	pg "$1" -c 'CREATE INDEX ON clinlims.result (parent_id)' -c 'CREATE INDEX ON clinlims.analysis (parent_result_id)' \
		-c 'CREATE INDEX ON clinlims.analysis (parent_analysis_id)' -c 'CREATE INDEX ON clinlims.patient_identity (patient_id)'
}
index_references "$db"
index_references "$test_base"
start_room
facts "$test_base" >empty.txt
sign_rosters
part 'contract, instruction, read plan, each signed by who answers for it'
sign_contract
inspect_source
edit_instruction=(-e 's|^passages: .*|passages: {dry: 4, rehearsal: 1, final: 3, catch_up: 3}|'
	-e 's|^target: {\(.*\)system: OpenELIS Global,|target: {\1system: OpenELIS Global, pre_production: OpenELIS test base,|')
sign_instruction

# The mapping as it is written first has three mistakes.
hash='s|split(strip(result, .\[0-9a-f\]{40}\$.),|split(result,|'
birth="/^        born:/s|parse_date(dob, 'YYYY-MM-DD')|parse_date(dob, 'DD/MM/YYYY')|"
short='s|local_abbrev: left(name, 10)|local_abbrev: name|'
# mapping_with MISTAKE…: the mapping with those, signed
mapping_with() {
	local all=() m
	for m in "$@"; do
		not same "$here/mapping.yaml" <(sed -e "$m" "$here/mapping.yaml") >/dev/null || fail "$m makes a mistake"
		all+=(-e "$m")
	done
	sign_mapping "${all[@]}"
}
mapping_with "$hash" "$birth" "$short"
approve_reading
part 'the synthetic twin: invented rows, and the mapping passes though it is wrong'
ecluse rehearse --twin --json >twin.json
holds 'the twin says: passed' is true field twin.json passed
ecluse plan --passage final >/dev/null
grant_load "$db"

# ---- dry runs, corrections -------------------------------------------------------------
sealed() { find "$room/lock/chamber" -type f -not -path "*/rejects/*" -exec sha256sum {} + | sort; }
# dry N: the Nth dry run of the mapping that is signed
dry() {
	plan_for dry marc-tissot
	ecluse apply --dry-run --json >"dry-$1.json"
	ecluse report >"dry-$1.txt"
	ecluse rejects >"rejects-$1.txt"
	cat "dry-$1.txt" "rejects-$1.txt"
}
# seen FILE PATTERN
seen() { grep -Eq -- "$2" "$1"; }
part 'a dry run: every row is read, sealed, mapped, and nothing is written'
seconds dry 1
tell "$(field dry-1.json rows_read) rows read and mapped in $took s"
holds 'the source was read' seen dry-1.json '"epoch": 1'
my -e "ALTER USER ecluse_read_$tag@'127.0.0.1' ACCOUNT LOCK"
tell 'the old laboratory locks the account that reads: from here on nothing can be read again'
sealed >sealed.txt

holds "5,641 tests are put aside: in «value past the last measure» the hash still hangs on" seen rejects-1.txt 'test +5641 +value past the last measure'
mapping_with "$birth" "$short"
dry 2
holds 'corrected: no test is put aside' not seen rejects-2.txt '^ +test '
holds 'it numbers results otherwise, and the report says so' seen dry-2.txt 'clinlims.result'

holds '3,003 patients have no date of birth: it was read as DD/MM/YYYY' seen dry-2.txt 'patient +3003 +date of birth not a full date \(as entered\)'
mapping_with "$short"
dry 3
holds 'corrected: fewer than ten have none, as MAPPING.md has it' seen dry-3.txt 'patient +(<10|\*) +date of birth not a full date \(as entered\)'

holds 'a few sample types do not fit; how few is masked' seen rejects-3.txt 'specimen_type +(<10|\*) +clinlims.type_of_sample.local_abbrev: the value does not fit the column'
at_the_gate() { ecluse gate rejects "$room/source" --as keys/claire-aubry | grep -c -- "$1" >/dev/null; }
holds 'the laboratory alone sees which, at its own gate: Rectal Swab is one' at_the_gate 'Rectal Swab'
mapping_with
dry 4
holds 'corrected: nothing is put aside' seen rejects-4.txt 'nothing was put aside'
for n in 2 3 4; do not seen "dry-$n.json" '"read": {' || fail "dry run $n read nothing"; done
holds 'three corrections over the same sealed chunks: not a byte was read or sealed' same sealed.txt <(sealed)

# ---- rehearsal ---------------------------------------------------------------------------
part 'a rehearsal in the test base'
ecluse plan --passage rehearsal >/dev/null
grant_load --rehearsal "$test_base"
plan_for rehearsal marc-tissot
seconds ecluse apply --rehearsal --json >rehearsal.json
holds "loaded and read back equal in $took s" is true field rehearsal.json reconciled
holds 'the test base has all 19 facts of an independent migration' facts_are "$pair/expected.txt" "$test_base"
seconds ecluse undo --as keys/marc-tissot --json >undone.json
holds "undone in $took s: the gate signs that each table stands as before" not seen undone.json '"equal": false|"stay"'
holds 'and so say the facts of the test base' stands_as_before "$test_base"

# ---- the passage, and what changes in the old laboratory meanwhile --------------------------
part 'the final passage; the laboratory approves its load plan'
ecluse report --json >rehearsed.json
plan_for final claire-aubry
seconds ecluse apply --json >final.json
first=$took
holds "loaded and read back equal in $took s" is true field final.json reconciled
holds 'the new laboratory has all 19 facts of an independent migration' facts_are "$pair/expected.txt" "$db"
holds 'up to here the source was read once' not seen final.json '"read": {'
pg postgres -c "CREATE DATABASE $by_hand TEMPLATE $db"
bases+=("$by_hand")
my -e "ALTER USER ecluse_read_$tag@'127.0.0.1' ACCOUNT UNLOCK"

# happens WHEN: what happens then in the old laboratory, and what it is in the new one
happens() {
	my "$old" <"$here/$1-source.sql"
	pg "$by_hand" -f "$here/$1-target.sql" >/dev/null
	facts "$by_hand" >"$1.txt"
}
# changed: how many rows a reading sealed again, by dataset
changed() { sed -n '/"changed": {/,/}/s/^ *"\(.*\)": \([0-9]*\),*$/\2 of \1/p' | paste -sd, | sed 's/,/, /g'; }
# caught_up WHEN: that comes into the new one
caught_up() {
	happens "$1"
	not same "$pair/expected.txt" "$1.txt" >/dev/null || fail 'something changed'
	seconds ecluse apply --catch-up --json >"$1.json"
	tell "sealed again, of buckets in which something changed: $(changed <"$1.json")"
	holds "brought up to it and read back equal in $took s" is true field "$1.json" reconciled
	holds 'all 19 facts are those of the copy that was changed by hand' facts_are "$1.txt" "$db"
}
part 'in the evening patients, requests and results come, change and go: catch-up'
caught_up evening
ecluse rejects >evening-rejects.txt
cat evening-rejects.txt
holds 'a result with a comma for a point is put aside' seen evening-rejects.txt 'test +(<10|\*) +value past the last measure'
part 'in the night some of it again: catch-up'
caught_up night
ecluse rejects >night-rejects.txt
holds 'it was typed anew: nothing is put aside' seen night-rejects.txt 'nothing was put aside'

part 'in the morning a prescriber whom nobody knew, and somebody tries the new software: catch-up is refused'
happens morning
pg "$db" -c "UPDATE clinlims.person SET last_name = 'Essai' WHERE id = 3034"
facts "$db" >tried.txt
not ecluse apply --catch-up --json >refused.json || fail 'it is refused'
cat refused.json
holds 'what changed is sealed, and not brought in' seen refused.json '"where": "clinlims.person"'
holds 'the new laboratory stands as it was' facts_are tried.txt "$db"
pg "$db" -c "UPDATE clinlims.person SET last_name = 'Belle' WHERE id = 3034"
part 'it is put back as it was: what was read comes in'
seconds ecluse apply --json >morning.json
holds "brought up to it and read back equal in $took s" is true field morning.json reconciled
holds 'the source is not read for it once more' not seen morning.json '"read": {'
holds 'all 19 facts are those of the copy: the new prescriber is numbered behind the others' facts_are morning.txt "$db"
# undone WHAT COMMAND…: that it takes the passage out of the new laboratory
undone() {
	seconds "${@:2}" >undone.json
	holds "$1 in $took s, nothing is left: the gate signs that each table stands as before" not seen undone.json '"equal": false|"stay"'
	holds 'and so say the facts of the new laboratory' stands_as_before "$db"
}
undone undone ecluse undo --because 'somebody tried the new software' --as keys/claire-aubry --json
my -e "ALTER USER ecluse_read_$tag@'127.0.0.1' ACCOUNT LOCK"

# loaded_again FILE: a final passage of what is sealed
loaded_again() {
	plan_for final claire-aubry
	seconds ecluse apply --json >"$1"
	not seen "$1" '"read": {' || fail 'nothing is read: the account is locked'
}
part 'the final passage again: all that four readings sealed, without a fifth'
loaded_again second.json
holds "loaded and read back equal in $took s" is true field second.json reconciled
holds 'all 19 facts are those of the copy that was changed by hand' facts_are morning.txt "$db"

# ---- no-go, another night -------------------------------------------------------------------------
part 'no-go: the wards file by family names in capitals, and the new software prints them as typed'
undone 'said and undone' ecluse no-go --because 'the wards file by family names in capitals, and the new software prints them as they are typed' --undo --as keys/claire-aubry --json
tell 'its vendor sets it to capitals'
capitals() {
	pg "$db" -c "CREATE FUNCTION clinlims.capitals() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.last_name := upper(NEW.last_name); RETURN NEW; END'" \
		-c 'CREATE TRIGGER capitals BEFORE INSERT ON clinlims.person FOR EACH ROW WHEN (NEW.id < 1000000) EXECUTE FUNCTION clinlims.capitals()'
	pg "$by_hand" -c 'UPDATE clinlims.person SET last_name = upper(last_name) WHERE id < 1000000'
}
capitals

part 'the final passage once more'
loaded_again third.json
facts "$by_hand" >capitals.txt
holds "loaded and read back in $took s; a difference is found" is false field third.json reconciled
ecluse report >report.txt
cat report.txt
holds 'one table differs' is '  ≠  clinlims.person' grep -o '^  ≠  [a-z._]*' report.txt
holds 'in one column' seen report.txt '^  clinlims.person +patient +[0-9]+ +last_name +altered$'
holds 'and all 19 facts are those of the copy with its names in capitals' facts_are capitals.txt "$db"

part 'go; days later, accepted with a reservation'
ecluse go --open 'labels are printed twice until the printers are set=marc-tissot,2030-01-31' --as keys/claire-aubry
holds 'without a word on the difference it cannot be accepted' not ecluse accept --as keys/claire-aubry
ecluse accept --reserve 'table clinlims.person=the new software keeps family names in capitals=marc-tissot,2030-01-31' --as keys/claire-aubry
ecluse due
leftovers() { find "$room/lock/chamber/live" -type f; }
holds 'erased: no sealed chunk is left' is '' leftovers

# ---- the evidence --------------------------------------------------------------------------
part 'the evidence, and what it says to whoever has nothing but the two roots'
evidence_verified
cat verified.txt verified-sh.txt
holds 'both verifiers: OK' is 'OK OK' sh -c 'head -qn1 verified.txt verified-sh.txt | paste -sd" "'
journal() { grep -c "\"type\":\"$1\"" evidence/journal/leaves.jsonl; }
holds 'the source was read four times: once whole, three times for what changed' is 4 journal reading-begun
holds 'four dry runs, one rehearsal, three final passages, of which the first went on after a refusal' is 9 journal passage-begun
holds 'three were undone' is 3 journal undo-ended
undone=$(grep -l '"ecluse":"undo/v1".*"kind":"rehearsal","number":1},"system":"OpenELIS test base".*"rows":74287' evidence/statements/*.json)
holds 'undo/v1 of the rehearsal: the test base stands as before' not seen "$undone" '"equal":false|"stay"'
certificate=evidence/certificate.json
holds 'the certificate: proven with reservations' seen "$certificate" '"outcome":"proven with reservations"'
holds 'which names who follows the difference up' seen <(cat evidence/documents/*) '"name":"clinlims.person","why":"the new software keeps family names in capitals","owner":"marc-tissot"'
by_laboratory() { grep -l '^side controller$' evidence/acts/*.act | xargs cat; }
# signed [CLAUSE]: how often the laboratory signed it
signed() { by_laboratory | grep -Ec -- "^$1"; }
holds 'the laboratory signed as in every migration: contract, instruction with read plan, load plan, acceptance' \
	is '1 1 1 1' echo "$(signed 'sign contract') $(signed 'sign instruction') $(signed 'approve readplan') $(signed 'accept report')"
holds 'and for this night: no-go, go, two loads taken out, and the load plan three times instead of once' \
	is '1 1 2 3 10' echo "$(signed no-go) $(signed go) $(signed refuse) $(signed 'approve loadplan') $(signed 'ecluse act')"
part "a bad night on a real laboratory: $(wc -l <facts.txt) facts as expected"
stop_room
drop
