# What run.sh and night.sh share, sourced by both: the databases of the pair on private
# servers, people with their keys, a server and two gates as three processes with TLS
# between them, and the papers as they are signed.
#
# Whoever sources it may set, before:
#   edit_instruction, edit_mapping   arrays of sed expressions for these papers
#   bases                            databases of the target's kind; the first is the real one
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${ECLUSE_MATERIAL:?set it to the folder that holds pair-blis-openelis/}"
pair=$(cd "$ECLUSE_MATERIAL/pair-blis-openelis" && pwd)
if [ -z "${ECLUSE_TEST_POSTGRES:-}" ] || [ -z "${ECLUSE_TEST_MYSQL:-}" ]; then
	exec "$root/scripts/servers" run "$(cd "$(dirname "$0")" && pwd)/$(basename "$0")" "$@"
fi
edit_instruction=() edit_mapping=()

ecluse() { "$work/ecluse" "$@"; }
say() { printf '\n== %s\n' "$*"; }

# prepare_work FOLDER: everything else happens in it.
prepare_work() {
	mkdir -p "$1"
	cd "$1"
	work=$PWD room=$PWD/room plans=$PWD/plans/blis-openelis-01
	# Built before the cache is moved: there the compiler has kept what it knows.
	(cd "$root" && CGO_ENABLED=0 go build -trimpath -o "$work/ecluse" ./cmd/ecluse)
	export ECLUSE_CONFIG=$work/device XDG_CACHE_HOME=$work/cache ECLUSE_LANG=en
}

# ---- private databases --------------------------------------------------------
my_port=${ECLUSE_TEST_MYSQL##*:} my_port=${my_port%%)*}
my() { mariadb --no-defaults -h 127.0.0.1 -P "$my_port" -u root "$@"; }
pg_base=${ECLUSE_TEST_POSTGRES%/*}
pg_port=${pg_base##*:}
pg() { psql -Xq -v ON_ERROR_STOP=1 "$pg_base/$1" "${@:2}"; }
# Several runs may use the same servers: databases and accounts have names of their own.
tag=$(openssl rand -hex 4)
old=blis_$tag db=oe_$tag
bases=("$db")

drop() {
	my -e "DROP DATABASE IF EXISTS $old; DROP USER IF EXISTS ecluse_catalogue_$tag@'127.0.0.1', ecluse_read_$tag@'127.0.0.1'"
	for base in "${bases[@]}"; do pg postgres -c "DROP DATABASE IF EXISTS $base WITH (FORCE)"; done
	pg postgres -c "DROP ROLE IF EXISTS ecluse_load_$tag"
}

load_dumps() {
	sed -e "s/^CREATE DATABASE IF NOT EXISTS blis_127;/CREATE DATABASE $old;/" -e "s/^USE blis_127;/USE $old;/" "$pair/source-blis_127.sql" |
		my --init-command="SET sql_mode=''"
	for role in clinlims admin; do
		pg postgres -c "DO \$\$ BEGIN CREATE ROLE $role SUPERUSER; EXCEPTION WHEN duplicate_object OR unique_violation THEN END \$\$"
	done
	for base in "${bases[@]}"; do
		pg postgres -c "CREATE DATABASE $base"
		pg "$base" -f "$pair/target-openelis.sql" >/dev/null
	done
	for user in catalogue read load; do openssl rand -hex 16 >"$user.password" && chmod 600 "$user.password"; done
	pg postgres -c "CREATE ROLE ecluse_load_$tag LOGIN PASSWORD '$(cat load.password)'"
}
# What the old database's administrator does with the script of an account.
account() {
	my <"$2"
	my -e "ALTER USER ecluse_$1_$tag@'127.0.0.1' IDENTIFIED BY '$(cat "$1.password")' ACCOUNT UNLOCK"
}
# target_of BASE: a database of the target's kind as gate.yaml has it.
target_of() {
	local at="{host: 127.0.0.1, port: $pg_port, database: $1, user: ecluse_load_$tag, password_file: load.password}"
	printf 'engine: postgresql\ncatalogue: %s\nrows: %s\n' "$at" "$at"
}
# facts BASE: those of a laboratory, in the lines of expected.txt.
facts() { pg "$1" -A -t -f "$pair/verify.sql"; }

# ---- people, each with a key of their own -------------------------------------
print_of() { ssh-keygen -lf "keys/$1.pub" | cut -d' ' -f2; }
make_lock() {
	mkdir -p keys
	for who in root-controller root-processor claire-aubry julie-carron marc-tissot; do ecluse key new "keys/$who" >/dev/null; done
	controller=$(print_of root-controller) processor=$(print_of root-processor)
	ecluse init "$room" --controller "$controller" --processor "$processor"
	cp catalogue.password read.password "$room/source/"
	cp load.password "$room/target/"
	cat >"$room/source/gate.yaml" <<-Y
		ecluse: gate/v1
		engine: mysql
		catalogue: {host: 127.0.0.1, port: $my_port, database: $old, user: ecluse_catalogue_$tag, password_file: catalogue.password}
		rows: {host: 127.0.0.1, port: $my_port, database: $old, user: ecluse_read_$tag, password_file: read.password}
	Y
	{ echo 'ecluse: gate/v1' && target_of "$db"; } >"$room/target/gate.yaml"
}

# ---- server and gates -----------------------------------------------------------
room_pid=
stop_room() {
	[ -z "$room_pid" ] || { kill "$room_pid" && wait "$room_pid"; } || true
	room_pid=
}
trap stop_room EXIT
start_room() {
	: >room.log
	"$work/ecluse" room "$room" >room.log 2>&1 &
	room_pid=$!
	local line=
	for _ in $(seq 300); do
		line=$(grep -om1 "ecluse://[^' ]*" room.log) && break
		kill -0 "$room_pid" || { cat room.log && exit 1; }
		sleep 0.1
	done
	ecluse context add pair "$line" --key keys/marc-tissot
}

# ---- papers ---------------------------------------------------------------------
# fill FILE SED…: a document of this folder with its blanks filled in
day() { date -u -d "$1" +%F; }
fill() {
	local name=$1
	shift
	sed "$@" "$here/$name" >"$name"
}
sha() { sha256sum "$1" | cut -d' ' -f1; }
gate_of() { ssh-keygen -lf "$room/$1/gate_key" | cut -d' ' -f2; }

sign_rosters() {
	dates=(-e "s|@START@|$(day now)|" -e "s|@END@|$(day '+60 days')|" -e "s|@NOW@|$(date -u +%FT%TZ)|" -e "s|@EXPIRES@|$(date -u -d '+29 days' +%FT%TZ)|")
	local keys=() who side
	for who in claire-aubry julie-carron marc-tissot; do keys+=(-e "s|@KEY_$who@|$(cut -d' ' -f1,2 "keys/$who.pub")|"); done
	for side in controller processor; do
		fill "roster-$side.yaml" "${dates[@]}" "${keys[@]}"
		ecluse roster add "roster-$side.yaml" --as "keys/root-$side"
	done
}
sign_contract() {
	fill contract.yaml "${dates[@]}" -e "s|@CONTROLLER_ROOT@|$controller|" -e "s|@PROCESSOR_ROOT@|$processor|"
	ecluse contract check contract.yaml
	ecluse sign contract.yaml --as keys/julie-carron
	ecluse sign contract.yaml --as keys/claire-aubry
}
inspect_source() {
	ecluse gate grants "$room/source" inspect --host 127.0.0.1 >inspect-grants.sql
	account catalogue inspect-grants.sql
	ecluse inspect source >inspected.txt
	sed -n 1,5p inspected.txt
}
sign_instruction() {
	fill instruction.yaml -e "s|from: blis_127\\.|from: $old.|" -e "s|^contract: .*|contract: sha256:$(sha contract.yaml)|" \
		-e "s|^source: {gate: [^,]*|source: {gate: $(gate_of source)|" -e "s|^target: {gate: [^,]*|target: {gate: $(gate_of target)|" \
		-e "s|^erase_by: .*|erase_by: $(date -u -d '+30 days' +%FT%TZ)|" "${edit_instruction[@]}"
	ecluse plan --instruction instruction.yaml --as keys/marc-tissot >read-plan.txt
	ecluse sign instruction.yaml --with-plan --as keys/claire-aubry
}
# sign_mapping SED…: the mapping with edits
sign_mapping() {
	cp "$pair/measure-order.csv" .
	fill mapping.yaml -e "s|^instruction: .*|instruction: sha256:$(sha instruction.yaml)|" "$@"
	ecluse mapping check mapping.yaml | tail -3
	ecluse sign mapping.yaml --as keys/marc-tissot
}
approve_reading() {
	ecluse approve "$plans-readplan.json" --as keys/marc-tissot
	ecluse gate grants "$room/source" read --host 127.0.0.1 >read-grants.sql
	account read read-grants.sql
}
# plan_for PASSAGE PERSON: the load plan of a passage, compiled and approved
plan_for() {
	ecluse plan --passage "$1" >/dev/null
	ecluse approve "$plans-loadplan-$1.json" --as "keys/$2"
}
# grant_load [--rehearsal] BASE: what the new database's administrator does
grant_load() {
	ecluse gate grants "$room/target" load "${@:1:$#-1}" >load-grants.sql
	pg "${@: -1}" -f load-grants.sql >/dev/null
}

# evidence_verified: written, and looked at by both verifiers
evidence_verified() {
	ecluse evidence evidence
	ecluse verify evidence --controller "$controller" --processor "$processor" >verified.txt
	sh evidence/verify.sh evidence --controller "$controller" --processor "$processor" >verified-sh.txt
	sed -n 1p verified.txt && sed -n 1p verified-sh.txt
}
