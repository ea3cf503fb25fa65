#!/usr/bin/env bash
# A real laboratory passes the lock: C4G BLIS on MariaDB to OpenELIS Global on
# PostgreSQL, from a signed contract to a verified certificate of erasure, all
# through the command line: a server and two gates are three processes, started and
# stopped here, with TLS between them. At the end the facts of the new database are
# compared with what an independent migration reached.
#
#   ECLUSE_MATERIAL=/path/to/material examples/blis-openelis/run.sh [--prepare] [WORK-FOLDER]
#
# With --prepare it stops where all is approved and nothing is read yet, and
# leaves both databases: `ecluse room` and `ecluse apply` are then yours.
# It needs the servers of scripts/servers, and starts them when they do not run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${ECLUSE_MATERIAL:?set it to the folder that holds pair-blis-openelis/}"
pair=$(cd "$ECLUSE_MATERIAL/pair-blis-openelis" && pwd)
if [ -z "${ECLUSE_TEST_POSTGRES:-}" ] || [ -z "${ECLUSE_TEST_MYSQL:-}" ]; then
	exec "$root/scripts/servers" run "$0" "$@"
fi
prepare=
if [ "${1:-}" = --prepare ]; then prepare=1 && shift; fi
work=${1:-$(mktemp -d)}
mkdir -p "$work"
cd "$work"
room=$work/room
# Built before the cache is moved: there the compiler has kept what it knows.
(cd "$root" && CGO_ENABLED=0 go build -trimpath -o "$work/ecluse" ./cmd/ecluse)
export ECLUSE_CONFIG=$work/device XDG_CACHE_HOME=$work/cache ECLUSE_LANG=en
ecluse() { "$work/ecluse" "$@"; }
say() { printf '\n== %s\n' "$*"; }

# ---- two private databases --------------------------------------------------
my_port=${ECLUSE_TEST_MYSQL##*:} my_port=${my_port%%)*}
my() { mariadb --no-defaults -h 127.0.0.1 -P "$my_port" -u root "$@"; }
pg_base=${ECLUSE_TEST_POSTGRES%/*}
pg_port=${pg_base##*:}
pg() { psql -Xq -v ON_ERROR_STOP=1 "$pg_base/$1" "${@:2}"; }
# Several runs may use the same servers: databases and accounts have names of their own.
tag=$(openssl rand -hex 4)
old=blis_$tag db=oe_$tag

drop() {
	my -e "DROP DATABASE IF EXISTS $old; DROP USER IF EXISTS ecluse_catalogue_$tag@'127.0.0.1', ecluse_read_$tag@'127.0.0.1'"
	pg postgres -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" -c "DROP ROLE IF EXISTS ecluse_load_$tag"
}

say "load the dumps into private servers"
sed -e "s/^CREATE DATABASE IF NOT EXISTS blis_127;/CREATE DATABASE $old;/" -e "s/^USE blis_127;/USE $old;/" "$pair/source-blis_127.sql" |
	my --init-command="SET sql_mode=''"
for role in clinlims admin; do
	pg postgres -c "DO \$\$ BEGIN CREATE ROLE $role SUPERUSER; EXCEPTION WHEN duplicate_object OR unique_violation THEN END \$\$"
done
pg postgres -c "CREATE DATABASE $db"
pg "$db" -f "$pair/target-openelis.sql" >/dev/null
for user in catalogue read load; do openssl rand -hex 16 >"$user.password" && chmod 600 "$user.password"; done
# What the old database's administrator does with the script of an account.
account() {
	my <"$2"
	my -e "ALTER USER ecluse_$1_$tag@'127.0.0.1' IDENTIFIED BY '$(cat "$1.password")' ACCOUNT UNLOCK"
}
pg postgres -c "CREATE ROLE ecluse_load_$tag LOGIN PASSWORD '$(cat load.password)'"

# ---- people, each with a key of their own -----------------------------------
say "keys, rosters, lock"
mkdir -p keys
for who in root-controller root-processor claire-aubry julie-carron marc-tissot; do ecluse key new "keys/$who" >/dev/null; done
print_of() { ssh-keygen -lf "keys/$1.pub" | cut -d' ' -f2; }
controller=$(print_of root-controller) processor=$(print_of root-processor)
ecluse init "$room" --controller "$controller" --processor "$processor"
cp catalogue.password read.password "$room/source/"
cp load.password "$room/target/"
cat >"$room/source/gate.yaml" <<Y
ecluse: gate/v1
engine: mysql
catalogue: {host: 127.0.0.1, port: $my_port, database: $old, user: ecluse_catalogue_$tag, password_file: catalogue.password}
rows: {host: 127.0.0.1, port: $my_port, database: $old, user: ecluse_read_$tag, password_file: read.password}
Y
cat >"$room/target/gate.yaml" <<Y
ecluse: gate/v1
engine: postgresql
catalogue: {host: 127.0.0.1, port: $pg_port, database: $db, user: ecluse_load_$tag, password_file: load.password}
rows: {host: 127.0.0.1, port: $pg_port, database: $db, user: ecluse_load_$tag, password_file: load.password}
Y

# ---- server and gates ---------------------------------------------------------
say "server and gates: three processes, which this script stops"
room_pid=
stop_room() {
	[ -z "$room_pid" ] || { kill "$room_pid" && wait "$room_pid"; } || true
	room_pid=
}
trap stop_room EXIT
"$work/ecluse" room "$room" >room.log 2>&1 &
room_pid=$!
line=
for _ in $(seq 300); do
	line=$(grep -om1 "ecluse://[^' ]*" room.log) && break
	kill -0 "$room_pid" || { cat room.log && exit 1; }
	sleep 0.1
done
ecluse context add pair "$line" --key keys/marc-tissot

# fill FILE SED…: a document of this folder with its blanks filled in
day() { date -u -d "$1" +%F; }
fill() {
	local name=$1
	shift
	sed "$@" "$here/$name" >"$name"
}
dates=(-e "s|@START@|$(day now)|" -e "s|@END@|$(day '+60 days')|" -e "s|@NOW@|$(date -u +%FT%TZ)|" -e "s|@EXPIRES@|$(date -u -d '+29 days' +%FT%TZ)|")
keys=()
for who in claire-aubry julie-carron marc-tissot; do keys+=(-e "s|@KEY_$who@|$(cut -d' ' -f1,2 "keys/$who.pub")|"); done
for side in controller processor; do
	fill "roster-$side.yaml" "${dates[@]}" "${keys[@]}"
	ecluse roster add "roster-$side.yaml" --as "keys/root-$side"
done
sha() { sha256sum "$1" | cut -d' ' -f1; }
gate_of() { ssh-keygen -lf "$room/$1/gate_key" | cut -d' ' -f2; }

say "1. contract"
fill contract.yaml "${dates[@]}" -e "s|@CONTROLLER_ROOT@|$controller|" -e "s|@PROCESSOR_ROOT@|$processor|"
ecluse contract check contract.yaml
ecluse sign contract.yaml --as keys/julie-carron
ecluse sign contract.yaml --as keys/claire-aubry

say "2. inspection"
ecluse gate grants "$room/source" inspect --host 127.0.0.1 >inspect-grants.sql
account catalogue inspect-grants.sql
ecluse inspect source | sed -n 1,5p

say "3. instruction, 5. read plan"
fill instruction.yaml -e "s|from: blis_127\\.|from: $old.|" -e "s|^contract: .*|contract: sha256:$(sha contract.yaml)|" \
	-e "s|^source: {gate: [^,]*|source: {gate: $(gate_of source)|" -e "s|^target: {gate: [^,]*|target: {gate: $(gate_of target)|" \
	-e "s|^erase_by: .*|erase_by: $(date -u -d '+30 days' +%FT%TZ)|"
if [ -n "$prepare" ]; then # the passage that is left to you reads and loads in one
	sed -i 's|^passages: .*|passages: {dry: 0, rehearsal: 0, final: 1, untried: what is prepared here is read and loaded in one}|' instruction.yaml
fi
ecluse plan --instruction instruction.yaml --as keys/marc-tissot >read-plan.txt
grep -c refused read-plan.txt || true
ecluse sign instruction.yaml --with-plan --as keys/claire-aubry

say "4. mapping"
cp "$pair/measure-order.csv" .
fill mapping.yaml -e "s|^instruction: .*|instruction: sha256:$(sha instruction.yaml)|"
ecluse mapping check mapping.yaml | tail -3
ecluse sign mapping.yaml --as keys/marc-tissot

say "6. approval, narrow accounts"
plans=$work/plans/blis-openelis-01
ecluse approve "$plans-readplan.json" --as keys/marc-tissot
ecluse gate grants "$room/source" read --host 127.0.0.1 >read-grants.sql
account read read-grants.sql
ecluse plan --passage final >/dev/null
ecluse gate grants "$room/target" load >load-grants.sql
pg "$db" -f load-grants.sql >/dev/null

if [ -n "$prepare" ]; then
	ecluse plan --passage final >/dev/null
	ecluse approve "$plans-loadplan-final.json" --as keys/claire-aubry
	say "prepared in $work: the passage is approved, and nothing is read"
	echo "its server and gates stop with this script: ecluse room $room starts them again"
	exit
fi

say "on invented rows first: the synthetic twin"
ecluse rehearse --twin

say "7, 8. reading; a dry run"
ecluse plan --passage dry >/dev/null
ecluse approve "$plans-loadplan-dry.json" --as keys/marc-tissot
ecluse apply --dry-run

say "9. the load plan, approved by the laboratory"
ecluse plan --passage final >/dev/null
ecluse approve "$plans-loadplan-final.json" --as keys/claire-aubry

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
ecluse evidence evidence
grep -rlx "$why" evidence/documents
ecluse verify evidence --controller "$controller" --processor "$processor" | sed -n 1p
sh evidence/verify.sh evidence --controller "$controller" --processor "$processor" | sed -n 1p

say "the facts of the new laboratory"
pg "$db" -A -t -f "$pair/verify.sql" >facts.txt
diff "$pair/expected.txt" facts.txt
echo "facts: all $(wc -l <facts.txt) as expected"
stop_room
drop
