#!/usr/bin/env bash
# A real laboratory passes the lock: C4G BLIS on MariaDB to OpenELIS Global on
# PostgreSQL, from a signed contract to a verified certificate of erasure, all
# through the command line: a server and two gates are three processes, started and
# stopped here, with TLS between them. At the end the facts of the new database are
# compared with what an independent migration reached. night.sh beside it is the
# same migration when not everything goes well.
#
#   ECLUSE_MATERIAL=/path/to/material examples/blis-openelis/run.sh [--prepare] [WORK-FOLDER]
#
# With --prepare it stops where all is approved and nothing is read yet, and
# leaves both databases: `ecluse room` and `ecluse apply` are then yours, and one
# catch-up, and the passage once more after an undoing.
# It needs the servers of scripts/servers, and starts them when they do not run.
set -euo pipefail
. "$(dirname "$0")/pair.sh"
prepare=
if [ "${1:-}" = --prepare ]; then prepare=1 && shift; fi
prepare_work "${1:-$(mktemp -d)}"

say "load the dumps into private servers"
load_dumps

say "keys, rosters, lock"
make_lock

say "server and gates: three processes, which this script stops"
start_room
sign_rosters

say "1. contract"
sign_contract

say "2. inspection"
inspect_source

say "3. instruction, 5. read plan"
if [ -n "$prepare" ]; then # the passage that is left to you reads and loads in one
	edit_instruction=(-e 's|^passages: .*|passages: {dry: 0, rehearsal: 0, final: 2, catch_up: 1, untried: what is prepared here is read and loaded in one}|')
fi
sign_instruction
grep -c refused read-plan.txt || true

say "4. mapping"
sign_mapping

say "6. approval, narrow accounts"
approve_reading
ecluse plan --passage final >/dev/null
grant_load "$db"

if [ -n "$prepare" ]; then
	plan_for final claire-aubry
	say "prepared in $work: the passage is approved, and nothing is read"
	echo "its server and gates stop with this script: ecluse room $room starts them again"
	exit
fi

say "on invented rows first: the synthetic twin"
ecluse rehearse --twin

say "7, 8. reading; a dry run"
plan_for dry marc-tissot
ecluse apply --dry-run

say "9. the load plan, approved by the laboratory"
plan_for final claire-aubry

say "at any time: held, and why"
why='the district has to confirm the list of sites'
ecluse suspend --because "$why" --as keys/claire-aubry
ecluse status
ecluse apply && exit 1 || echo "exit $?: nothing moves"
ecluse resume --because 'it is confirmed' --as keys/claire-aubry

say "9. the load, 10. its comparison"
ecluse apply "$plans-loadplan-final.json"
ecluse report
ecluse status
ecluse rejects
ecluse gate rejects "$room/source" --as keys/claire-aubry | tail -1

say "11. acceptance, 12. erasure, 13. evidence"
ecluse accept --as keys/claire-aubry # no row was put aside, so there is none to say what becomes of
ecluse due
evidence_verified
grep -rlx "$why" evidence/documents

say "the facts of the new laboratory"
facts "$db" >facts.txt
diff "$pair/expected.txt" facts.txt
echo "facts: all $(wc -l <facts.txt) as expected"
stop_room
drop
