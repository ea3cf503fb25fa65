#!/bin/sh
# Checks an Écluse evidence bundle with nothing but sh, ssh-keygen (8.9 or later),
# openssl and the usual small tools.
#
#   sh verify.sh [DIR] --controller SHA256:... --processor SHA256:...
#
# The two fingerprints are those of the parties' root keys; get them from the
# parties, never from the folder. Take this script from a release of Écluse, not
# from a folder you doubt. The first line printed says OK, KO, or KO not anchored
# (a root was not given); every command run follows, and what it showed. Exit
# status: 0 for OK, 4 otherwise.
#
# It follows the same chain as `ecluse verify`: sums, gates, instruction, acts,
# rosters, roots; then plans, chunks, the whole journal, the certificate.
# `ecluse verify` also compares e-mail addresses and employee numbers to tell two
# people apart (here two people are two keys), and reads every document strictly.
set -u
LC_ALL=C TZ=UTC
export LC_ALL TZ

dir=. controller='' processor=''
while [ $# -gt 0 ]; do
	case $1 in
	--controller) controller=${2-} && shift ;;
	--processor) processor=${2-} && shift ;;
	-*) echo "usage: sh verify.sh [DIR] --controller SHA256:... --processor SHA256:..." >&2 && exit 1 ;;
	*) dir=$1 ;;
	esac
	shift
done

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
log=$tmp/log
: >"$log"

finish() { # verdict status
	printf '%s\n' "$1"
	[ ! -f "$tmp/notes" ] || cat "$tmp/notes"
	cat "$log"
	exit "$2"
}
ok() { printf 'ok    %s\n' "$*" >>"$log"; }
ko() { printf 'KO    %s\n' "$*" >>"$log" && finish KO 4; }
run() { # prints a command, then runs it
	printf '$ %s\n' "$*" >>"$log"
	"$@"
}
from() { # file command...: the command reads the file
	from_file=$1 && shift
	printf '$ %s < %s\n' "$*" "$from_file" >>"$log"
	"$@" <"$from_file"
}
cd "$dir" 2>>"$log" || ko "$dir is not a folder"

# ---- signatures -------------------------------------------------------------
signer() { # namespace file signature: sets $by to the fingerprint of the key that signed
	from "$2" ssh-keygen -Y check-novalidate -n "$1" -s "$3" >"$tmp/signer" 2>>"$log" || ko "$3 is not a signature of $2 for $1"
	read -r by <"$tmp/signer" && by=${by##* key }
}
signed_by() { # fingerprint namespace file [signature]
	signer "$2" "$3" "${4-$3.sig}"
	[ "$by" = "$1" ] || ko "$3 is signed by $by, not by $1"
}
one_form() { # a signature in another form than ours, even if it reads the same, was altered
	{
		echo '-----BEGIN SSH SIGNATURE-----'
		sed '1d;$d' "$1" | openssl base64 -d | openssl base64
		echo '-----END SSH SIGNATURE-----'
	} 2>>"$log" | cmp -s - "$1"
}

# ---- every file is listed, and every sum holds --------------------------------
names='README\.txt|verify\.sh|binary\.txt|limits\.txt|contract\.yaml|instruction\.yaml|mapping\.yaml|readplan\.json'
names="$names|loadplan-(dry|rehearsal|final)-[1-9][0-9]*\\.json|(frozen|documents)/[0-9a-f]{64}"
names="$names|rosters/(controller|processor)-[1-9][0-9]*\\.(yaml|yaml\\.sig|signers)|acts/[0-9a-f]{64}\\.act(\\.sig)?"
names="$names|gates/[0-9a-f]{64}\\.yaml(\\.sig)?"
names="$names|recipients/(chunks|rejects)\\.json(\\.sig)?|privileges/(source|target)-[a-z0-9-]+\\.json(\\.sig)?"
names="$names|(chunks|rejects)/[A-Za-z0-9_][A-Za-z0-9_.-]*/[0-9]{6,}\\.[0-9]+\\.json(\\.sig)?"
names="$names|(manifest|report)\\.json(\\.sig)?|erasure/(source|target)\\.json(\\.sig)?|certificate\\.json(\\.(source|target)\\.sig)?"
names="$names|statements/(source|target)-[0-9a-f]{64}\\.json(\\.sig)?|journal/leaves\\.jsonl|journal/heads/[0-9]{12,}\\.txt(\\.(lock|source|target)\\.sig)?"

[ -f SHA256SUMS ] && [ -f SHA256SUMS.source.sig ] && [ -f SHA256SUMS.target.sig ] || ko "SHA256SUMS or a signature of it is missing"
one_form SHA256SUMS.source.sig && one_form SHA256SUMS.target.sig || ko "a signature of SHA256SUMS was altered"
signer bundle@ecluse SHA256SUMS SHA256SUMS.source.sig && source=$by
signer bundle@ecluse SHA256SUMS SHA256SUMS.target.sig && target=$by
run grep -q -v -E "^[0-9a-f]{64}  ($names)\$" SHA256SUMS
[ $? -eq 1 ] || ko "SHA256SUMS has a line that has no place in it"
cut -c67- SHA256SUMS >"$tmp/listed"
run sort -c -u "$tmp/listed" 2>>"$log" || ko "SHA256SUMS is not sorted"
[ -z "$(find . ! -type f ! -type d)" ] || ko "there is something that is not a plain file"
find . -type f | sed 's|^\./||' | grep -v -x -E 'SHA256SUMS(\.(source|target)\.sig)?' | sort >"$tmp/there"
run cmp "$tmp/listed" "$tmp/there" >>"$log" 2>&1 || ko "the files there are not those listed"
run sha256sum -c SHA256SUMS >"$tmp/sums" 2>>"$log" || { grep -v ': OK$' "$tmp/sums" >>"$log"; ko "a file was altered"; }
ok "$(wc -l <SHA256SUMS) files are listed, there, and unaltered"

digest() { awk -v f="$1" '$2 == f { print "sha256:" $1 }' SHA256SUMS; } # of a listed file
has() { grep -q "^${1#sha256:}  " SHA256SUMS; }                          # some file has this digest
list() { grep -E "^$1\$" "$tmp/listed"; }

# ---- contract, instruction, roots ---------------------------------------------
facts() { # the plain fields of a YAML document: "section party key value"
	tr -d "\r\"'" <"$1" | sed -E 's/(^| )#.*$//' | awk '
		/^[a-z_]+:/ { top = $0; sub(/:.*/, "", top); party = "-" }
		{
			n = split($0, part, /[{},]/)
			for (i = 1; i <= n; i++) {
				s = part[i]; sub(/^ +/, "", s); sub(/ +$/, "", s)
				if (s !~ /^[a-z_]+:/) continue
				key = s; sub(/:.*/, "", key)
				sub(/^[a-z_]+: */, "", s)
				if (key == "controller" || key == "processor" || top == "backups" && key != "until" && key != top) party = key
				print top, party, key, s
			}
		}'
}
fact() { # file, "section party key": its value, if there is exactly one
	grep "^$2 " "$1" | awk 'END { if (NR == 1) print $4 }'
}
for f in contract.yaml instruction.yaml; do
	grep -o -E '^[a-z_]+:' $f | sort | uniq -d | grep -q . && ko "$f says a thing twice"
done
facts contract.yaml >"$tmp/contract"
facts instruction.yaml >"$tmp/instruction"
[ "$(fact "$tmp/contract" 'ecluse - ecluse') $(fact "$tmp/instruction" 'ecluse - ecluse')" = 'contract/v1 instruction/v1' ] || ko "a document is of another format"
contract=$(digest contract.yaml) instruction=$(digest instruction.yaml)
id=$(fact "$tmp/instruction" 'id - id')
printf '%s\n' "$id" | grep -q -x -E '[a-z0-9-]{3,64}' || ko "the instruction has no id"
[ "$(fact "$tmp/instruction" 'contract - contract')" = "$contract" ] || ko "the instruction is under another contract"
[ "$(fact "$tmp/instruction" 'source - gate')" = "$source" ] || ko "the instruction names another source gate than $source"
[ "$(fact "$tmp/instruction" 'target - gate')" = "$target" ] || ko "the instruction names another target gate than $target"
[ "$source" != "$target" ] || ko "both gates have one key"
root_c=$(fact "$tmp/contract" 'parties controller root') root_p=$(fact "$tmp/contract" 'parties processor root')
[ -n "$root_c" ] && [ -n "$root_p" ] && [ "$root_c" != "$root_p" ] || ko "the contract does not name two roots"
[ "${controller:-$root_c}" = "$root_c" ] || ko "the root of the controller is $root_c in the contract, not $controller"
[ "${processor:-$root_p}" = "$root_p" ] || ko "the root of the processor is $root_p in the contract, not $processor"
ok "migration $id; gates $source and $target signed the sums"

# ---- rosters ------------------------------------------------------------------
roster_facts() { # a roster's people line by line; Écluse refuses a roster whose lines say other than its YAML
	awk '
		{ sub(/\r$/, ""); sub(/(^| )#.*$/, ""); sub(/ +$/, "") }
		/^[a-z]+:( |$)/ {
			key = $0; sub(/:.*/, "", key); sub(/^[a-z]+: ?/, "")
			people = (key == "people"); person = field = ""
			if (key ~ /^(side|number|issued|expires)$/) print key, $0
			next
		}
		!people { next }
		/^  [a-z0-9.-]+:$/ { person = substr($0, 3); sub(/:$/, "", person); field = ""; print "person", person; next }
		/^    [a-z]+:( |$)/ {
			field = substr($0, 5); sub(/:.*/, "", field); sub(/^    [a-z]+: ?/, "")
			if (field ~ /^(from|until|confidentiality)$/) print field, person, $0
			if (field != "roles") next
			sub(/^\[/, ""); sub(/\]$/, "")
			n = split($0, role, /[, ]+/)
			for (i = 1; i <= n; i++) if (role[i] != "") print "role", person, role[i]
			next
		}
		/^(    |      )- / {
			sub(/^ *- /, ""); split($0, word, " ")
			if (field == "keys") print "key", person, word[1], word[2]
			if (field == "roles") print "role", person, $0
		}' "$1"
}
roster_signers() { # allowed signers of ssh-keygen, from the facts
	awk '
		function flush(i, from, until) {
			from = day["from"] > day["confidentiality"] ? day["from"] : day["confidentiality"]
			until = day["until"]; gsub(/-/, "", from); gsub(/-/, "", until)
			for (i = 1; i <= n; i++)
				printf "%s namespaces=\"act@ecluse\",valid-after=\"%s\",valid-before=\"%s235959\" %s\n", person, from, until, key[i]
			n = 0
		}
		$1 == "person" { flush(); person = $2 }
		$1 == "key" { key[++n] = $3 " " $4 }
		{ day[$1] = $3 }
		END { flush() }' "$1"
}
list 'rosters/.*\.yaml' >"$tmp/rosters"
while read -r f; do
	name=${f#rosters/} && name=${name%.yaml} && side=${name%%-*}
	root=$root_c && [ "$side" = controller ] || root=$root_p
	signed_by "$root" roster@ecluse "$f"
	run roster_facts "$f" >"$tmp/roster.$name"
	grep -q -x "side $side" "$tmp/roster.$name" && grep -q -x "number ${name#*-}" "$tmp/roster.$name" || ko "$f holds another roster"
	roster_signers "$tmp/roster.$name" | run cmp - "rosters/$name.signers" >>"$log" 2>&1 || ko "rosters/$name.signers is not what $f says"
done <"$tmp/rosters"
ok "$(wc -l <"$tmp/rosters") rosters hang on the roots"

# ---- journal: the whole tree (RFC 6962) -----------------------------------------
hash_each() { # printf format: SHA-256 of every line of the input put through it; one process for them all
	rm -rf "$tmp/n" && mkdir "$tmp/n" && i=0
	while IFS= read -r line; do
		i=$((i + 1))
		printf "$1" "$line" >"$tmp/n/$i"
	done
	awk -v n=$i 'BEGIN { for (i = 1; i <= n; i++) print i }' | (cd "$tmp/n" && xargs sha256sum /dev/null) | awk '$2 != "/dev/null" { print $1 }'
}
hash_leaves() { hash_each '\000%s'; } # SHA-256(0x00, line)
hash_pairs() {                        # SHA-256(0x01, left, right) of every line "left right" in hexadecimal
	awk '
		BEGIN { hex = "0123456789abcdef"; for (i = 0; i < 256; i++) octal[substr(hex, int(i / 16) + 1, 1) substr(hex, i % 16 + 1, 1)] = sprintf("\\0%03o", i) }
		{ s = $1 $2; out = "\\0001"; for (i = 1; i < length(s); i += 2) out = out octal[substr(s, i, 2)]; print out }' | hash_each %b
}

awk -F '"' -v tree="$id" '
	!/^\{"index":[0-9]+,"at":"[0-9T:.Z-]+","tree":"[a-z0-9-]+","type":"[a-z0-9._-]+","ids":\{[^{}]*\},"numbers":\{[^{}]*\},"body":"[^"{}]*"\}$/ { exit 1 }
	$3 != ":" NR - 1 "," || $10 != tree { exit 1 }
	{
		at = $6; sub(/Z$/, "", at); if (at !~ /\./) at = at "."
		at = substr(at "000", 1, 23)
		if (at < before) exit 1
		before = at; act = desc = "-"
		if ($17 !~ /\{\}/) for (i = 18; ; i += 4) {
			if ($i == "act") act = $(i + 2)
			if ($i == "descriptor") desc = $(i + 2)
			if ($(i + 3) != ",") break
		}
		print NR - 1, at, $14, act, desc
	}' journal/leaves.jsonl >"$tmp/leaves" || ko "journal/leaves.jsonl: a leaf is not in its place, or not a leaf"
leaves=$(wc -l <"$tmp/leaves")
from journal/leaves.jsonl hash_leaves >"$tmp/level.0"
level=0
while [ "$(wc -l <"$tmp/level.$level")" -gt 1 ]; do
	awk 'NR % 2 { left = $1; next } { print left, $1 }' "$tmp/level.$level" >"$tmp/pairs"
	level=$((level + 1))
	from "$tmp/pairs" hash_pairs >"$tmp/level.$level"
done

list 'journal/heads/[0-9]*\.txt' >"$tmp/heads"
lock=''
while read -r f; do
	signer head@ecluse "$f" "$f.lock.sig"
	[ "${lock:=$by}" = "$by" ] || ko "two locks signed heads"
	signed_by "$source" head@ecluse "$f" "$f.source.sig"
	signed_by "$target" head@ecluse "$f" "$f.target.sig"
	awk -v file="$f" -v tree="$id" '
		{ value[NR] = $2; text = text $0 "|" }
		END {
			if (text !~ /^ecluse head\/v1\|tree [a-z0-9-]+\|size [0-9]+\|root sha256:[0-9a-f]+\|at [0-9T:-]+Z\|$/) exit 1
			if (value[2] != tree || file != sprintf("journal/heads/%012d.txt", value[3])) exit 1
			print value[3], substr(value[4], 8), substr(value[5], 1, 19)
		}' "$f" >>"$tmp/claimed" || ko "$f is not a head of $id"
done <"$tmp/heads"
[ -f "$tmp/claimed" ] || ko "the journal has no head"
[ "$lock" != "$source" ] && [ "$lock" != "$target" ] || ko "the lock has a gate's key"
awk -v leaves="$leaves" '
	FILENAME == ARGV[1] { at[$1 + 1] = substr($2, 1, 19); next }
	$1 > leaves || $3 < before || $1 > 0 && $3 < at[$1] { exit 1 }
	{ before = $3; last = $1 }
	END { if (last != leaves) exit 1 }' "$tmp/leaves" "$tmp/claimed" || ko "a head is dated wrongly, or none covers all $leaves leaves"

# The root of the first n leaves is folded, from the right, out of the complete
# subtrees that n is made of; all heads at once.
awk -v top="$level" -v tmp="$tmp" '
	BEGIN { for (l = 0; l <= top; l++) { n = 0; while ((getline line < (tmp "/level." l)) > 0) hash[l, n++] = line } }
	$1 > 0 {
		size = $1; at = 0; out = ""
		for (l = top; l >= 0; l--) if (size - at >= 2 ^ l) { out = out " " hash[l, at / 2 ^ l]; at += 2 ^ l }
		print size out
	}' "$tmp/claimed" >"$tmp/fold"
while awk 'NF > 2 { found = 1 } END { exit !found }' "$tmp/fold"; do
	awk 'NF > 2 { print $(NF - 1), $NF }' "$tmp/fold" >"$tmp/pairs"
	from "$tmp/pairs" hash_pairs >"$tmp/hashes"
	awk -v hashes="$tmp/hashes" 'NF > 2 { getline h < hashes; $(NF - 1) = h; $NF = ""; sub(/ +$/, "") } { print }' "$tmp/fold" >"$tmp/folded"
	mv "$tmp/folded" "$tmp/fold"
done
awk '{ print $1, ($1 > 0 ? $2 : "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") }' "$tmp/claimed" | grep -v '^0 e3b0c442' >"$tmp/want"
run cmp "$tmp/fold" "$tmp/want" >>"$log" 2>&1 || ko "a head's root is not that of the leaves"
ok "$leaves leaves give the roots of $(wc -l <"$tmp/claimed") heads, signed by lock $lock and both gates"

# ---- acts ---------------------------------------------------------------------
not_after() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a "" <= b "") }'; } # a <= b, as text
when() { then=$(sed -n "s/^$1 \\(.*\\)Z\$/\\1.000/p" "$tmp/roster.$2"); } # issued or expires of a roster
entitled() { # roster: the act's signer, person and role at the act's time
	grep -q -F -x "role $person $role" "$tmp/roster.$1" || ko "$f: $person is not $role in roster $1"
	from "$f" ssh-keygen -Y verify -f "rosters/$1.signers" -I "$person" -n act@ecluse -s "$f.sig" \
		-Overify-time="$(printf '%s' "$at" | tr -d 'T:-' | cut -c1-14)" >>"$log" 2>&1 || ko "$f is not signed by $person of roster $1"
}
: >"$tmp/said"
list 'acts/.*\.act' >"$tmp/acts"
while read -r f; do
	awk '
		function bad() { wrong = 1; exit 1 }
		BEGIN { split("ecluse migration side person role roster not-before not-after nonce", word, " ") }
		NR == 1 && $0 != "ecluse act/v1" { bad() }
		NR <= 9 && ($1 != word[NR] || NF != (NR == 6 ? 3 : 2)) || NR > 9 && NF != 3 { bad() }
		$0 != $1 " " $2 (NF == 3 ? " " $3 : "") { bad() }
		{ print (NR > 9 ? "clause " $0 : $0) }
		END { exit wrong || NR < 10 }' "$f" >"$tmp/act" || ko "$f is not an act"
	d=sha256:${f#acts/} && d=${d%.act}
	[ "$(digest "$f")" = "$d" ] || ko "$f is not named by its own hash"
	{
		read -r _ && read -r _ migration && read -r _ side && read -r _ person && read -r _ role
		read -r _ number roster && read -r _ begins && read -r _ ends
	} <"$tmp/act"
	begins=${begins%Z}.000 ends=${ends%Z}.000 && at=$begins
	[ "$migration" = - ] || ! grep -q '^clause [a-z-]* gate ' "$tmp/act" || ko "$f: an act on a gate names no migration"
	if grep '^clause' "$tmp/act" | grep -q -v -E '^clause [a-z-]* (contract|gate) '; then
		at=$(awk -v d="$d" '$3 == "act" && $4 == d { print $2 }' "$tmp/leaves")
		[ -n "$at" ] || ko "$f was never handed in"
	elif [ "$migration" = - ]; then
		migration=$id
	fi
	[ "$migration" = "$id" ] || ko "$f is of another migration"
	not_after "$begins" "$at" && not_after "$at" "$ends" || ko "$f was handed in at $at, outside its validity"
	[ -f "$tmp/roster.$side-$number" ] && [ "$(digest "rosters/$side-$number.yaml")" = "$roster" ] || ko "$f names a roster that is not there"
	when issued "$side-$number" && issued=$then && when expires "$side-$number"
	not_after "$issued" "$at" && not_after "$at" "$then" && [ "$at" != "$then" ] || ko "$f: its roster did not run at $at"
	entitled "$side-$number"
	for later in "$tmp/roster.$side"-*; do
		n=${later##*-}
		when issued "$side-$n"
		[ "$n" -gt "$number" ] && not_after "$then" "$at" && entitled "$side-$n"
	done
	signer act@ecluse "$f" "$f.sig"
	awk -v who="$side $role $person $by" -v d="$d" '$1 == "clause" { print who, $2, $3, $4, d }' "$tmp/act" >>"$tmp/said"
done <"$tmp/acts"
awk '$5 ~ /^(sign|approve|accept)$/ && $6 != "migration" { print $7 }' "$tmp/said" | sort -u >"$tmp/subjects"
while read -r d; do
	has "$d" || ko "an act speaks of $d, which is not in the folder"
done <"$tmp/subjects"
awk '$5 ~ /^(sign|approve|accept)$/ && $6 == "gate" { print substr($7, 8) }' "$tmp/said" | sort -u >"$tmp/confirmed"
while read -r d; do
	[ -f "gates/$d.yaml" ] || ko "an act speaks of gates/$d.yaml, which is not in the folder, signed by its gate"
done <"$tmp/confirmed"
awk '$3 == "act" { print $4 }' "$tmp/leaves" | sort >"$tmp/handed"
run sort -c -u "$tmp/handed" 2>>"$log" || ko "an act was handed in twice"
while read -r d; do
	[ -f "acts/${d#sha256:}.act" ] || ko "act $d was handed in and is not in the folder"
done <"$tmp/handed"
ok "$(wc -l <"$tmp/acts") acts, each by a person of a roster in their role and time"

# ---- what gates say of themselves -----------------------------------------------
list 'gates/.*\.yaml' >"$tmp/papers"
while read -r f; do
	[ "$f" = "gates/$(digest "$f" | cut -c8-).yaml" ] || ko "$f is not named by its own hash"
	grep -o -E '^[a-z_]+:' "$f" | sort | uniq -d | grep -q . && ko "$f says a thing twice"
	facts "$f" >"$tmp/gate"
	[ "$(fact "$tmp/gate" 'ecluse - ecluse')" = gate/v1 ] || ko "$f is of another format"
	gate=$(fact "$tmp/gate" 'gate - gate') place=$(fact "$tmp/gate" 'place - place')
	signed_by "${gate:-nobody}" gate@ecluse "$f"
	[ "$(fact "$tmp/gate" 'roots controller controller') $(fact "$tmp/gate" 'roots processor processor')" = "$root_c $root_p" ] || ko "$f was enrolled under other roots"
	[ "$(fact "$tmp/gate" 'lock - lock')" = "$lock" ] || ko "$f was enrolled for another lock than the journal's"
	[ "$gate" != "$source" ] || [ "$place" = source ] || ko "$f is of the source gate, and says otherwise"
	[ "$gate" != "$target" ] || [ "$place" = target ] || ko "$f is of the target gate, and says otherwise"
done <"$tmp/papers"
ok "$(wc -l <"$tmp/papers") papers of gates, each signed by its gate"

said() { # side role verb kind digest: the keys of those who said it
	awk -v w="$1 $2 $3 $4 $5" '$1 " " $2 " " $5 " " $6 " " $7 == w { print $4 }' "$tmp/said"
}
two() { # keys keys: one of each, not the same
	for a in $1; do for b in $2; do [ "$a" = "$b" ] || return 0; done; done
	return 1
}
two "$(said controller signatory sign contract "$contract")" "$(said processor signatory sign contract "$contract")" ||
	ko "the contract is not signed by signatories of both parties"
[ -n "$(said controller signatory sign instruction "$instruction")" ] || ko "the instruction is not signed by the controller"
ok "contract signed by both parties, instruction by the controller"

# A day of the calendar, but that every year may have its 29 February; a line of text that
# says something, as a JSON string.
day='[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))'
line='"([^"\\]|\\["\\])*([^" \\]|\\["\\])([^"\\]|\\["\\])*"'

# ---- go and no-go ---------------------------------------------------------------
deputies() { # the plain items of the instruction's list, however it is laid out
	tr -d "\r\"'" <instruction.yaml | sed -E 's/(^| )#.*$//' | awk '
		/^[a-z_]+:/ { in_list = ($0 ~ /^deputies:/); sub(/^[a-z_]+:/, "") }
		in_list { gsub(/[],[]/, " "); sub(/^ *- /, ""); n = split($0, id, / +/); for (i = 1; i <= n; i++) if (id[i] != "") print id[i] }'
}
deputies >"$tmp/deputies"
awk '$5 == "go" || $5 == "no-go"' "$tmp/said" >"$tmp/decided"
while read -r side role person _ verb kind subject act; do
	[ "$side $kind" = 'controller report' ] || ko "$verb was said by the $side, of a $kind"
	[ "$role" = signatory ] || grep -q -x -F "$person" "$tmp/deputies" || ko "$verb was said by $person, who neither signs for the controller nor is named a deputy"
	[ "$(grep -c " $act\$" "$tmp/decided")" -eq 1 ] || ko "one act says go or no-go of one report"
	f=report.json && [ "$(digest report.json)" = "$subject" ] || f=statements/target-${subject#sha256:}.json
	[ -f "$f" ] || ko "$verb was said of a report that is not in the folder"
	of=$(sed -n "s/^{\"ecluse\":\"report\/v1\",\"migration\":\"$id\",\"plan\":\"\(sha256:[0-9a-f]*\)\".*/\1/p" "$f")
	printf '%s\n' "${of:-none}" >>"$tmp/decided-plans"
	grep " $act\$" "$tmp/said" | awk '$6 == "decision" || $6 == "reason" { print $5, $6, $7 }' >"$tmp/goes-with"
	[ "$(wc -l <"$tmp/goes-with")" -le 1 ] || ko "$verb of $person signs more than one document"
	signs='' paper='' d='' && read -r signs paper d <"$tmp/goes-with"
	case $verb:$signs:$paper in
	no-go:sign:reason | go::) ;;
	go:sign:decision)
		f=documents/${d#sha256:}
		[ -f "$f" ] || ko "what stays open after the go is not in the folder"
		point="\\{\"what\":$line,\"owner\":\"[a-z][a-z0-9.-]*\",\"due\":\"$day\"\\}"
		run grep -q -x -E "\{\"ecluse\":\"decision/v1\",\"migration\":\"$id\",\"report\":\"$subject\",\"open\":\[$point(,$point)*\]\}" "$f" || ko "$f does not say what stays open of that report"
		;;
	*) ko "$verb of $person: a no-go signs its reason, a go what stays open" ;;
	esac
done <"$tmp/decided"
awk 'FILENAME == ARGV[1] { decides[$8] = 1; next } $6 == "decision" && !decides[$8] { exit 1 }' "$tmp/decided" "$tmp/said" || ko "an act speaks of a decision and says neither go nor no-go"
ok "$(wc -l <"$tmp/decided") times go or no-go, each by who may say it"

# ---- certificate, plans, recipients ---------------------------------------------
flat() { tr -d ' \t\n' <"$1"; } # JSON on one line, whatever its layout
holds() { # file text...: the JSON holds each text
	holds_file=$1 && shift
	for text in "$@"; do
		flat "$holds_file" | grep -q -F -e "$text" || ko "$holds_file does not say $text"
	done
}
statement() { # gate's key, format, file
	signed_by "$1" statement@ecluse "$3"
	grep -q "^{\"ecluse\":\"$2\",\"migration\":\"$id\",\"plan\":\"" "$3" || ko "$3 is not a $2 of $id"
}
signed_by "$source" statement@ecluse certificate.json certificate.json.source.sig
signed_by "$target" statement@ecluse certificate.json certificate.json.target.sig
plan=$(digest readplan.json)
manifest=$(digest manifest.json)
c=$(sed -n 's/^{"ecluse":"certificate\/v1","migration":"\([a-z0-9-]*\)","plan":"\([a-z0-9:]*\)","contract":"\([a-z0-9:]*\)","instruction":"\([a-z0-9:]*\)","manifest":"\([a-z0-9:]*\)","report":"\([a-z0-9:]*\)","trigger":"\([a-z ]*\)","act":"\([a-z0-9:]*\)".*/\1|\2|\3|\4|\5|\6|\7|\8/p' certificate.json)
[ "${c%|*|*|*}" = "$id|$plan|$contract|$instruction|$manifest" ] || ko "the certificate is of another migration, plan, contract, instruction or manifest"
report=$(printf '%s' "$c" | cut -d '|' -f 6) trigger=$(printf '%s' "$c" | cut -d '|' -f 7) act=$(printf '%s' "$c" | cut -d '|' -f 8)
backup() { # folder: none, or the day on which its last backup expires
	day=$(fact "$tmp/instruction" "backups $1 until")
	printf '%s' "${day:-$(fact "$tmp/instruction" "backups $1 $1")}"
}
admins="$(fact "$tmp/instruction" 'source - administered_by') $(fact "$tmp/instruction" 'target - administered_by')"
holds certificate.json "\"source_administered\":\"${admins% *}\",\"target_administered\":\"${admins#* }\",\"backups\":{\"source_gate\":\"$(backup source_gate)\",\"lock\":\"$(backup lock)\",\"target_gate\":\"$(backup target_gate)\"}"
sed -n '2,/^$/{/./s/^/note  /p;}' README.txt >"$tmp/notes"
grep -q -x "note  source administered by the ${admins% *}, target by the ${admins#* }; last backup expires, by the instruction: source gate $(backup source_gate), lock $(backup lock), target gate $(backup target_gate)" "$tmp/notes" ||
	ko "README.txt does not say who administers what, and which backups there are"
[ "${admins% *}" != processor ] || grep -q '^note  the processor administers the source' "$tmp/notes" || ko "README.txt does not say that the processor administers the source"
[ "${admins#* }" != processor ] || grep -q '^note  the processor administers the target' "$tmp/notes" || ko "README.txt does not say that the processor administers the target"
grep -q '"one_room":true' certificate.json && { sed -n 2p README.txt | grep -q -x 'lock and gates stood on one machine, so both halves of the key did too' || ko "README.txt does not say that all stood on one machine"; }

if [ -n "$plan" ]; then
	holds readplan.json '"ecluse":"readplan/v1"' "\"migration\":\"$id\"" "\"contract\":\"$contract\"" "\"instruction\":\"$instruction\"" \
		"\"source\":{\"gate\":\"$source\"" "\"target\":{\"gate\":\"$target\"" \
		"\"recipient\":\"$(digest recipients/chunks.json)\"" "\"rejects\":\"$(digest recipients/rejects.json)\""
	two "$(said controller signatory approve readplan "$plan")" "$(said processor operator approve readplan "$plan")" ||
		ko "the read plan is not approved by two parties and two people"
	signed_by "$target" recipient@ecluse recipients/chunks.json
	signed_by "$source" recipient@ecluse recipients/rejects.json
	for f in chunks rejects; do
		holds recipients/$f.json "{\"ecluse\":\"recipient/v1\",\"migration\":\"$id\",\"instruction\":\"$instruction\",\"purpose\":\"$f\""
	done
	ok "read plan approved by two parties and two people; its recipients signed by the gates"
fi
approvers() { # kind: side and role of who may approve its load plan
	echo 'controller signatory'
	[ "$1" = final ] || printf '%s\n' 'controller operator' 'processor operator'
}
finals='' mapped=''
list 'loadplan-.*' >"$tmp/plans"
while read -r f; do
	d=$(digest "$f") && kind=${f#loadplan-} && kind=${kind%%-*}
	holds "$f" '"ecluse":"loadplan/v1"' "\"migration\":\"$id\"" "\"instruction\":\"$instruction\"" "\"read_plan\":\"$plan\"" \
		"\"passage\":\"$kind\"" "\"target\":{\"gate\":\"$target\""
	flat "$f" | grep -o -E '"(mapping|file":"[^"]*","sha256)":"sha256:[0-9a-f]*"' | sed 's/.*"\(sha256:[0-9a-f]*\)"$/\1/' >"$tmp/needs"
	[ -s "$tmp/needs" ] || ko "$f names no mapping"
	while read -r need; do has "$need" || ko "$f needs $need, which is not in the folder"; done <"$tmp/needs"
	by=$(approvers "$kind" | while read -r side role; do said "$side" "$role" approve loadplan "$d"; done)
	[ -n "$by" ] || ko "nobody entitled approved $f"
	[ "$kind" != final ] || { finals="$finals $d" && grep -q -x -F "$(digest mapping.yaml)" "$tmp/needs" && mapped=yes; }
	printf '%s\n' "$d" >>"$tmp/loads"
done <"$tmp/plans"
# Each passage that the journal saw begin has its plan here, under its own name, and each
# final one an approval of its own, handed in before.
grep '"type":"passage-begun"' journal/leaves.jsonl >"$tmp/begun"
sed -n 's/^{"index":\([0-9]*\),.*"type":"passage-begun","ids":{"load_plan":"\(sha256:[0-9a-f]*\)","passage":"\([a-z0-9-]*\)"}.*/\3 \2 \1/p' "$tmp/begun" >"$tmp/began"
[ "$(wc -l <"$tmp/begun")" -eq "$(wc -l <"$tmp/began")" ] || ko "the journal says that a passage began, and not which"
while read -r passage d _; do
	[ "$(digest "loadplan-$passage.json")" = "$d" ] || ko "the journal says that $passage began under $d, and loadplan-$passage.json is not that plan"
done <"$tmp/began"
awk '
	FILENAME == ARGV[1] { if ($3 == "act") place[$4] = $1 + 1; next }
	FILENAME == ARGV[2] { if ($1 " " $2 " " $5 " " $6 == "controller signatory approve loadplan" && place[$8]) at[$7, ++acts[$7]] = place[$8]; next }
	$1 ~ /^final-/ && !seen[$1]++ {
		n = 0
		for (i = 1; i <= acts[$2]; i++) if (at[$2, i] <= $3) n++
		if (n < ++began[$2]) exit 1
	}' "$tmp/leaves" "$tmp/said" "$tmp/began" || ko "more final passages began under a load plan than it had approvals"
[ -z "$finals$mapped" ] || [ -n "$mapped" ] || ko "mapping.yaml is not the mapping of a final load plan"
ok "$(wc -l <"$tmp/plans") load plans approved"
touch "$tmp/decided-plans"
while read -r d; do
	case " $finals " in *" $d "*) ;; *) ko "go or no-go was said of something else than the report of a final passage" ;; esac
done <"$tmp/decided-plans"

# ---- chunks, manifest, erasure ----------------------------------------------------
touch "$tmp/loads" "$tmp/chunks" "$tmp/rejects"
for kind in chunks rejects; do
	list "$kind/.*\\.json" >"$tmp/names"
	gate=$source
	[ $kind = chunks ] || gate=$target
	while read -r f; do signed_by "$gate" chunk@ecluse "$f"; done <"$tmp/names"
	xargs cat <"$tmp/names" /dev/null |
		sed -n 's/^{"ecluse":"chunk\/v1","migration":"'"$id"'","plan":"\(sha256:[0-9a-f]*\)","epoch":[0-9]*,"slot":{"dataset":"\([A-Za-z0-9_.-]*\)","sequence":\([0-9]*\),"version":\([0-9]*\)},"rows":\([0-9]*\),"last":\([a-z]*\),"size":\([0-9]*\),"sha256":"\(sha256:[0-9a-f]*\)","sum":"sha256:[0-9a-f]*"}$/\2 \3 \4 \8 \7 \5 \6 \1/p' >"$tmp/$kind"
	awk -v kind=$kind '{ printf "%s/%s/%06d.%d.json\n", kind, $1, $2, $3 }' "$tmp/$kind" | cmp -s - "$tmp/names" || ko "a descriptor in $kind/ is not of its name or migration"
	awk -v kind=$kind '$2 ~ "^" kind "/.*json$" { print "sha256:" $1 }' SHA256SUMS >>"$tmp/descriptors"
done
awk -v p="$plan" '$8 != p { exit 1 }' "$tmp/chunks" || ko "a chunk was made under another plan"
awk 'FILENAME == ARGV[1] { known[$1] = 1; next } !known[$8] { exit 1 }' "$tmp/loads" "$tmp/rejects" || ko "rejects were made under a load plan that is not in the folder"
awk '$3 == "chunk" { print $5 }' "$tmp/leaves" | sort >"$tmp/stored"
sort "$tmp/descriptors" | run cmp - "$tmp/stored" >>"$log" 2>&1 || ko "the chunks in the folder are not those the journal saw"
if [ -n "$manifest" ]; then
	signed_by "$source" manifest@ecluse manifest.json
	again=$(sed -n -E 's/^\{"ecluse":"manifest\/v1","migration":"[a-z0-9-]*","plan":"[a-z0-9:]*","epochs":[0-9]+,"reading":([0-9]+),.*/\1/p' manifest.json)
	granted=$(fact "$tmp/instruction" 'passages - catch_up')
	case $granted in '' | *[!0-9]*) granted=0 ;; esac
	[ "${again:-0}" -le "$granted" ] || ko "the source was read again $again times, and the instruction allows $granted"
	holds manifest.json "{\"ecluse\":\"manifest/v1\",\"migration\":\"$id\",\"plan\":\"$plan\""
	tr '{' '\n' <manifest.json | awk -F '[":,}]+' '/^"dataset":"[^"]*","sequence":/ { print $3, $5, $7, "sha256:" $10, $12, ($0 ~ /\}\]/ ? "true" : "false") }' | sort >"$tmp/closing"
	awk '{ print $1, $2, $3, $4, $6, $7 }' "$tmp/chunks" | sort >"$tmp/described"
	run comm -23 "$tmp/closing" "$tmp/described" >"$tmp/differ"
	[ -s "$tmp/differ" ] && ko "the manifest lists a chunk otherwise than its descriptor: $(head -n 1 "$tmp/differ")"
	for w in before after; do
		list "privileges/source-.*$w\\.json" >/dev/null || ko "there is no record of the source's account from $w the reading"
	done
	cat statements/source-*.json 2>/dev/null | grep -q "^{\"ecluse\":\"extract/v1\",\"migration\":\"$id\",\"plan\":\"$plan\",\"epoch\":[0-9]*,\"manifest\":\"$manifest\"" || ko "the source gate does not say what it read"
fi
tr '{' '\n' <certificate.json | awk -F '[":,}]+' '/^"dataset":"[^"]*","sequence":/ { print $3, $5, $7, "sha256:" $10, $12, $14 }' | sort >"$tmp/erased"
cat "$tmp/chunks" "$tmp/rejects" | awk '{ print $1, $2, $3, $4, $5, $6 }' | sort >"$tmp/all"
run cmp "$tmp/all" "$tmp/erased" >>"$log" 2>&1 || ko "the chunks listed as erased are not those described"
ok "$(wc -l <"$tmp/all") chunks, all in journal and certificate"

destroyed() { # holder recipient
	tr '{' '\n' <certificate.json | grep -q "\"id\":\"$2\",\"holder\":\"$1\"" || ko "no key of the recipient $2 was destroyed at the $1 gate"
}
[ ! -s "$tmp/chunks" ] || { destroyed source "$(digest recipients/chunks.json)" && destroyed target "$(digest recipients/chunks.json)"; }
[ ! -s "$tmp/rejects" ] || destroyed source "$(digest recipients/rejects.json)"
list '(privileges|erasure|statements)/.*\.json' >"$tmp/statements"
while read -r f; do
	gate=$target && format=erasure/v1
	case $f in */source*) gate=$source ;; esac
	case $f in privileges/*) format=privileges/v1 ;; statements/*) format='[a-z-]*/v1' ;; esac
	statement "$gate" $format "$f"
done <"$tmp/statements"
# A row released, masked: the act of whoever released it stands in the gate's statement,
# and in the journal. Counts taken out, a shape is letters and digits, punctuation, and
# signs between two of the former.
text='"([^"\\]|\\.)+"' cell='\{"column":"([^"\\]|\\.)+","shape":"([^"\\]|\\.)+"\}'
mark='[] !"#$%&'"'"'()*,./:;?@[\^_`|~]' word='[A9]+([-+<=>][A9]+)*'
shape="null|empty|bytes|boolean|other|\\?|$mark*$word($mark+$word)*($mark*(…)?|[-+<=>]…)"
grep -l '^{"ecluse":"released/v1"' statements/*.json 2>/dev/null >"$tmp/released"
while read -r s; do
	f=$tmp/releasing
	case $s in statements/source-*) ;; *) ko "$s is not the source gate's to say" ;; esac
	sed -n 's/.*,"act":{"body":"\([A-Za-z0-9+/=]*\)","signature":"[A-Za-z0-9+/=]*"},.*/\1/p' "$s" | openssl base64 -d -A >"$f"
	sed -n 's/.*,"act":{"body":"[A-Za-z0-9+/=]*","signature":"\([A-Za-z0-9+/=]*\)"},.*/\1/p' "$s" | openssl base64 -d -A >"$f.sig"
	sed 's/.*,"row":\({.*}\),"act_digest":.*/\1/' "$s" | tr -d '\n' >"$tmp/row"
	row=$(run openssl dgst -sha256 -r "$tmp/row" | cut -c1-64)
	d=sha256:$(run openssl dgst -sha256 -r "$f" | cut -c1-64)
	grep -q -F "},\"act_digest\":\"$d\",\"act\":{\"body\":" "$s" || ko "$s names another act than the one in it"
	[ "$(wc -l <"$f")" -eq 10 ] || ko "$s: its act is about more than a row"
	grep -F '"type":"reject-released"' journal/leaves.jsonl | grep -F "\"act\":\"$d\"" | grep -q -F "\"statement\":\"$(digest "$s")\"" || ko "$s shows a row, and the journal does not say who released it"
	grep -q -x -E "\\{\"dataset\":\"[A-Za-z0-9_][A-Za-z0-9_.-]*\",\"ordinal\":[0-9]+,\"reason\":$text,\"cells\":\\[($cell(,$cell)*)?\\]\\}" "$tmp/row" || ko "$s does not say which row it is, and how it looks"
	grep -o -E '"shape":"([^"\\]|\\.)+"\}' "$tmp/row" | sed -E 's/^"shape":"(.*)"\}$/\1/; s/\\(["\\])/\1/g; s/([^{}])\{([5-9]|[12][0-9]|3[0-2]|32\+)\}/\1/g' >"$tmp/shapes"
	grep -q -v -x -E "$shape" "$tmp/shapes" && ko "$s shows a column otherwise than by its shape"
	awk 'length($0) > 67 { exit 1 }' "$tmp/shapes" || ko "$s shows a column otherwise than by its shape"
	{
		read -r word && read -r _ migration && read -r _ side && read -r _ person && read -r _ role
		read -r _ number roster && read -r _ begins
	} <"$f"
	at=${begins%Z}.000
	[ "$word $side $migration" = "ecluse act/v1 controller $id" ] && grep -q -F -x "sign released-row sha256:$row" "$f" || ko "$s shows a row that nobody of the controller's released"
	[ -f "$tmp/roster.$side-$number" ] && [ "$(digest "rosters/$side-$number.yaml")" = "$roster" ] || ko "$s: its act names a roster that is not there"
	when issued "$side-$number" && issued=$then && when expires "$side-$number"
	not_after "$issued" "$at" && not_after "$at" "$then" && [ "$at" != "$then" ] || ko "$s: the roster of its act did not run at $at"
	entitled "$side-$number"
	for later in "$tmp/roster.$side"-*; do
		n=${later##*-}
		when issued "$side-$n"
		[ "$n" -gt "$number" ] && not_after "$then" "$at" && entitled "$side-$n"
	done
done <"$tmp/released"
grep -q '"outcome":"undone"' certificate.json && { cat statements/target-*.json 2>/dev/null | grep -q '^{"ecluse":"undo/v1"' || ko "the target gate does not say what it took out again"; }
sed -n 's/.*"left":\[\([^]]*\)\].*/\1/p' certificate.json | tr '{' '\n' |
	sed -n 's/^"kind":"\([a-z]*\)","number":\([0-9]*\)},"why":"\([a-z]*\)".*/\1-\2 \3/p' | sort >"$tmp/left"
sed -n 's/.*"type":"passage-left","ids":{"passage":"\([a-z0-9-]*\)","reason":"\([a-z]*\)"}.*/\1 \2/p' journal/leaves.jsonl | sort >"$tmp/journal-left"
run cmp "$tmp/left" "$tmp/journal-left" >>"$log" 2>&1 || ko "the passages said to be left in the target are not those the journal names"
# A load in use that nobody accepted: the controller's go of its report, that nobody took
# back since; journal and certificate name both.
sed -n 's/.*"in_use":{"passage":{"kind":"\([a-z]*\)","number":\([0-9]*\)},"act":"\(sha256:[0-9a-f]*\)"}.*/\1-\2 \3/p' certificate.json >"$tmp/in-use"
sed -n 's/.*"type":"passage-in-use","ids":{"act":"\(sha256:[0-9a-f]*\)","passage":"\([a-z0-9-]*\)"}.*/\2 \1/p' journal/leaves.jsonl >"$tmp/journal-in-use"
[ "$(grep -c '"type":"passage-in-use"' journal/leaves.jsonl)" -eq "$(wc -l <"$tmp/journal-in-use")" ] || ko "the journal says that a passage stays in use, and not which"
run cmp "$tmp/in-use" "$tmp/journal-in-use" >>"$log" 2>&1 || ko "the passage said to stay in use is not the one the journal names"
while read -r passage go; do
	f=loadplan-$passage.json && d=$(digest "$f")
	[ -f "$f" ] && [ "${passage#final-}" != "$passage" ] || ko "$f is missing, or of a passage that nobody can work in"
	[ -n "$manifest" ] || ko "a load is in use and no manifest closes the reading"
	went=$(awk -v act="$go" '$1 == "controller" && $5 == "go" && $6 == "report" && $8 == act { print $7 }' "$tmp/decided")
	grep -q "^{\"ecluse\":\"report/v1\",\"migration\":\"$id\",\"plan\":\"$d\"" "statements/target-${went#sha256:}.json" 2>>"$log" || ko "the act named is not a go of the controller's, of a report of passage $passage"
	loaded=$(grep -o -E '"system":"([^"\\]|\\.)*","reading":[0-9]+,"chunks":' "statements/target-${went#sha256:}.json" | sed -E 's/.*"reading":([0-9]+),.*/\1/')
	[ "${loaded:-0}" = "${again:-0}" ] || ko "go was said of a report of reading ${loaded:-0} of the source, and the last is reading ${again:-0}"
	awk -v go="$go" -v report="$went" -v plan="$d" '
		FILENAME == ARGV[1] { if ($3 == "act") place[$4] = $1 + 1; if ($3 == "passage-in-use") end = $1 + 1; next }
		$8 == go && place[go] > end { exit 1 }
		$5 == "approve" && $7 == plan { against[$8] = 1 }
		($5 == "no-go" || $5 == "refuse") && place[$8] > place[go] { late[$7] = 1 }
		END { for (x in late) if (x == report || x == plan || against[x]) exit 1 }' "$tmp/leaves" "$tmp/said" || ko "passage $passage was refused after the go, or stayed before it"
	cat statements/target-*.json | grep -q "^{\"ecluse\":\"undo/v1\",\"migration\":\"$id\",\"plan\":\"$d\",\"passage\":{\"kind\":\"final\",\"number\":${passage#final-}}" && ko "the target gate says that passage $passage was taken out"
	run grep -q -x -F "note  erased; passage $passage was not accepted, and stays in the target: it is in use since the controller said go" "$tmp/notes" || ko "README.txt does not say that passage $passage stays in use"
done <"$tmp/in-use"
# Rows that an undoing left because people changed them: the target gate's word, and the certificate's.
sed -n 's/.*"stayed":\[\([^]]*\)\].*/\1/p' certificate.json | tr '{' '\n' |
	sed -n 's/^"kind":"\([a-z]*\)","number":\([0-9]*\)},"rows":"\([0-9<*+ ]*\)","statement":"\(sha256:[0-9a-f]*\)".*/\1-\2 \4 \3/p' | sort >"$tmp/stayed"
list 'statements/target-.*\.json' | while read -r s; do
	sed -n 's/^{"ecluse":"undo\/v1".*"passage":{"kind":"\([a-z]*\)","number":\([0-9]*\)}.*"stay":"\([0-9<*+ ]*\)".*/\1-\2 '"$(digest "$s")"' \3/p' "$s"
done | sort >"$tmp/said-to-stay"
run cmp "$tmp/stayed" "$tmp/said-to-stay" >>"$log" 2>&1 || ko "of rows that stay in the target the certificate says otherwise than the target gate"
while read -r passage _ rows; do
	run grep -q -x -F "note  passage $passage was taken out of the target, but for rows that people changed or refer to since, and that stay there: $rows" "$tmp/notes" || ko "README.txt does not say that rows of $passage stay in the target"
done <"$tmp/stayed"
list 'loadplan-rehearsal-[0-9]*\.json' >"$tmp/rehearsals"
while read -r f; do
	n=${f#loadplan-rehearsal-} && n=${n%.json}
	grep -q "^rehearsal-$n " "$tmp/left" || cat statements/target-*.json 2>/dev/null |
		grep -q "^{\"ecluse\":\"undo/v1\",\"migration\":\"$id\",\"plan\":\"$(digest "$f")\",\"passage\":{\"kind\":\"rehearsal\",\"number\":$n}" || ko "the target gate does not say that rehearsal-$n was taken out of the test base"
	! cat statements/target-*.json 2>/dev/null | grep "^{\"ecluse\":\"undo/v1\",\"migration\":\"$id\",\"plan\":\"$(digest "$f")\",\"passage\":{\"kind\":\"rehearsal\",\"number\":$n}" | grep -q -E '"equal":false|"stay":"' || ko "the target gate says that the test base does not stand as before rehearsal-$n"
done <"$tmp/rehearsals"
# What was loaded was there to be taken out: else it was looked for in another database.
list 'statements/target-.*\.json' | while read -r s; do
	sed -n -E 's/^\{"ecluse":"undo\/v1","migration":"[^"]*","plan":"(sha256:[0-9a-f]*)","passage":\{"kind":"([a-z]*)","number":([0-9]*)\},"system":"([^"\\]|\\.)*","chunks":0,.*/\1 \2 \3/p' "$s"
done >"$tmp/nothing"
while read -r p kind n; do
	! cat statements/target-*.json | grep "^{\"ecluse\":\"report/v1\",\"migration\":\"$id\",\"plan\":\"$p\"" | grep -F "\"passage\":{\"kind\":\"$kind\",\"number\":$n}" | grep -q '"rows_loaded":[1-9]' || ko "the target gate says that nothing was there to be taken out of $kind-$n, and that it had loaded rows"
done <"$tmp/nothing"
# The mapping of each final passage had passed, before that began, on invented rows and,
# unless the instruction says why not, dry or in a rehearsal in which all was equal, with most
# rows of every dataset that has some and no figure that differs: by all procedures but these,
# which had not that rule, or less of it.
for d in 78bb4212e0c4bf0ec75f822e268f18231e87a6fd91ac0671351d3b839314c744 d65955dfc9b3b6b993825e514da33a4048dddda00400f238f5b658e92d288b94 \
	014428a3d0b61ba8003082ef588020ad3c7bea09b964bf18d18b699a21ae67f1 0dc379d4766ecede23e201659ec40f96684d32f5b2cd3beea4c2ee686d6d91a7 \
	2f318925ba1fa8adc8359dbb07ab3c16abaf35b6a6197d58cc9a2c44ca96ef08 2b642bc609e754fa772fb360698e1e2f3cde11481124f5abc2936a59adf2f3b9 \
	b758cdc463726aa3d2102bcb85502bdf06954ede931cffa878a273b6e131cb76; do
	printf 'sha256:%s\n' "$d"
done >"$tmp/untried"
of_plan() { # file pattern: what it finds in a load plan
	flat "$1" | grep -o -E "$2\":\"sha256:[0-9a-f]{64}\"" | sed 's/.*"\(sha256:[0-9a-f]*\)"$/\1/'
}
# What the controller said go of nobody refused but who could say it, as long as it was in
# use: by all procedures but those, and these. Nor did a certificate have to say, by them,
# what became of rows put aside that were to be kept.
cp "$tmp/untried" "$tmp/anybodys"
for d in bf42ef6a070412dc28836f272e8ff61df2ae228390f55a79b43d104c8194bab3 5c84e17b144656992d84b0c50cdeb04ce076fa487a1bcdc2755ef499b0b4f6d3 \
	2ef360fb74a618f595b8df5b20226c999b527f58d5abb0d3ae24d41ec599645c 0269d56964f11b2722a8bf2219d3f0bf9bca8745294ac387f8a24af987bce1f7 \
	4d0bf0905771a42b05ba5e7d13d0b8301dfb55de1a9c37d3a5cbd58950ee5eb8 7cd4d90470f5f128ab77459c0275e8b46e2be7e12611c3b69bcbc630f0231105 \
	4dbee63197bcb8c119477115b1c4cc5f465524c955e65bd6334acea876ff1767; do
	printf 'sha256:%s\n' "$d"
done >>"$tmp/anybodys"
list 'loadplan-(dry|rehearsal)-.*' >"$tmp/tries"
while read -r f; do # plan, kind, mapping
	kind=${f#loadplan-} && printf '%s %s %s\n' "$(digest "$f")" "${kind%%-*}" "$(of_plan "$f" '"shape":\{"mapping')"
done <"$tmp/tries" >"$tmp/trials"
sed -n 's/^{"index":\([0-9]*\),.*"type":"statement","ids":{[^{}]*"statement":"\(sha256:[0-9a-f]*\)".*/\2 \1/p' journal/leaves.jsonl >"$tmp/stated"
: >"$tmp/twins"
list 'statements/target-.*\.json' >"$tmp/by-target"
while read -r s; do # what passed, and where the journal has the statement that says so
	d=${s#statements/target-} && at=$(awk -v d="sha256:${d%.json}" '$1 == d { print $2; exit }' "$tmp/stated")
	[ -n "$at" ] || continue
	mapping=$(sed -n "s/^{\"ecluse\":\"twin\/v1\",\"migration\":\"$id\",\"plan\":\"$plan\",\"mapping\":\"\(sha256:[0-9a-f]*\)\",.*/\1/p" "$s")
	[ -z "$mapping" ] || ! grep -q '^{[^{}]*"passed":true[,}]' "$s" || printf '%s %s\n' "$mapping" "$at" >>"$tmp/twins"
	d=$(sed -n "s/^{\"ecluse\":\"report\/v1\",\"migration\":\"$id\",\"plan\":\"\(sha256:[0-9a-f]*\)\".*/\1/p" "$s")
	grep -q -E '"unmapped":\[|"scant":\[|"lines":[0-9]+,"differ":[1-9]' "$s" && continue
	equal='' && grep -q '"compared":{[^][{}]*"equal":true[,}]' "$s" && equal=yes
	awk -v d="${d:-none}" -v equal="$equal" -v at="$at" -v checks="$(grep -o '"lines":[1-9]' "$s" | wc -l)" '$1 == d && ($2 == "dry" || equal) { print $3, at, $2, checks }' "$tmp/trials"
done <"$tmp/by-target" >"$tmp/tried"
before() { # file mapping place: something in the file passed, of that mapping, before that place
	awk -v mapping="$2" -v at="$3" '$1 == mapping && $2 + 0 < at + 0 { found = 1 } END { exit !found }' "$1"
}
untried=$(fact "$tmp/instruction" 'passages - untried')
list 'loadplan-final-.*' >"$tmp/final-plans"
while read -r f; do
	of_plan "$f" '"procedure' | grep -q -x -F -f "$tmp/anybodys" || digest "$f"
done <"$tmp/final-plans" >"$tmp/guarded"
awk 'FILENAME == ARGV[1] { plan[FNR] = $1; next } { print $0, plan[FNR] }' "$tmp/decided-plans" "$tmp/decided" >"$tmp/decided-of"
awk 'FILENAME == ARGV[1] { if ($3 == "act") place[$4] = $1 + 1; next } place[$8] { print place[$8], $0 }' "$tmp/leaves" "$tmp/said" | sort -s -n -k1,1 >"$tmp/in-order"
awk 'FILENAME == ARGV[1] { deputy[$1] = 1; next } FILENAME == ARGV[2] { guarded[$1] = 1; next } FILENAME == ARGV[3] { plan[$8] = $9; next }
	$6 == "approve" && $7 == "loadplan" { approves[$9] = $8 }
	$6 == "go" && guarded[plan[$9]] { live[$8] = plan[$9] }
	$6 == "refuse" { for (report in live) if ($8 == report || $8 == live[report] || $7 == "act" && approves[$8] == live[report]) {
		if ($2 != "controller" || $3 != "signatory" && !deputy[$4]) exit 1
		delete live[report]
	} }' "$tmp/deputies" "$tmp/guarded" "$tmp/decided-of" "$tmp/in-order" || ko "what the controller said go of was refused by somebody who neither signs for the controller nor is named a deputy"
invented() { # load plan: its mapping had passed on invented rows when its passage began
	at=$(awk -v f="$1" '"loadplan-" $1 ".json" == f { print $3; exit }' "$tmp/began")
	before "$tmp/twins" "$(of_plan "$1" '"shape":\{"mapping')" "${at:-$leaves}" || ko "the target gate does not say that the mapping of $1 passed on invented rows before that passage began"
}
# A rehearsal waits for invented rows, too, by all procedures but those.
while read -r f; do
	of_plan "$f" '"procedure' | grep -q -x -F -f "$tmp/anybodys" || invented "$f"
done <"$tmp/rehearsals"
while read -r f; do
	of_plan "$f" '"procedure' | grep -q -x -F -f "$tmp/untried" && continue
	invented "$f"
	mapping=$(of_plan "$f" '"shape":\{"mapping')
	awk -v mapping="$mapping" -v at="${at:-$leaves}" '$1 == mapping && $2 + 0 < at + 0' "$tmp/tried" | sort -n -k2,2 >"$tmp/passed"
	[ -n "$untried" ] || [ -s "$tmp/passed" ] || ko "the mapping of $f had passed neither dry nor in rehearsal when that passage began, and the instruction does not say why"
	[ ! -s "$tmp/passed" ] || grep -q ' rehearsal ' "$tmp/passed" || ok "the mapping of $f was tried dry only: $(tail -n 1 "$tmp/passed" | cut -d ' ' -f 4) checks of rows as they would be written were equal, nothing was written or read back"
done <"$tmp/final-plans"
outcome=$(sed -n 's/.*"outcome":"\([a-z, ]*\)".*/\1/p' certificate.json)
[ -s "$tmp/in-use" ] && [ "$outcome" != 'in use, not accepted' ] && ko "a passage stays in use, and the outcome is $outcome"
[ ! -s "$tmp/in-use" ] && [ "$outcome" = 'in use, not accepted' ] && ko "the certificate does not name the passage in use"
[ -s "$tmp/left" ] && [ "$outcome" != 'not undone' ] && ko "a passage was left in the target, and the outcome is $outcome"
[ ! -s "$tmp/left" ] && [ "$outcome" = 'not undone' ] && ko "the certificate does not name what was not undone"
while read -r passage why; do
	[ -f "loadplan-$passage.json" ] || ko "loadplan-$passage.json is missing"
	run grep -q -x -F "note  erased; passage $passage was not taken out of the target ($why)" "$tmp/notes" || ko "README.txt does not name what was not taken out of the target"
done <"$tmp/left"
[ ! -f report.json ] || [ "$trigger" = acceptance ] || ko "report.json stands for a report that was accepted, and none was"
[ ! -f report.json ] || statement "$target" report/v1 report.json
case $trigger in
acceptance)
	[ -n "$report" ] && [ "$(digest report.json)" = "$report" ] && [ -n "$manifest" ] || ko "report.json is not the report accepted, or nothing closes the reading"
	# The report is of the last reading of the source, as many as the instruction grants.
	last=$(sed -n -E 's/^\{"ecluse":"manifest\/v1","migration":"[a-z0-9-]*","plan":"[a-z0-9:]*","epochs":[0-9]+,"reading":([0-9]+),.*/\1/p' manifest.json)
	loaded=$(grep -o -E '"system":"([^"\\]|\\.)*","reading":[0-9]+,"chunks":' report.json | sed -E 's/.*"reading":([0-9]+),.*/\1/')
	[ "${loaded:-0}" = "${last:-0}" ] || ko "the report accepted is of reading ${loaded:-0} of the source, and the last is reading ${last:-0}"
	of=$(sed -n 's/^{"ecluse":"report\/v1","migration":"[a-z0-9-]*","plan":"\(sha256:[0-9a-f]*\)".*/\1/p' report.json)
	case " $finals " in *" ${of:-none} "*) ;; *) ko "the report is not of a final passage" ;; esac
	grep -q "^controller signatory [^ ]* [^ ]* accept report $report $act\$" "$tmp/said" || ko "no signatory of the controller accepted the report"
	last=$(awk -v r="$report" 'FILENAME == ARGV[1] { if ($3 == "act") place[$4] = $1 + 1; next } $7 == r && place[$8] > at { at = place[$8]; says = $5 } END { print says }' "$tmp/leaves" "$tmp/decided")
	[ "$last" != no-go ] || ko "the report was accepted, and the last that was said of it is no-go"
	# Reasons and names are compared as the JSON strings they are written as, in both documents alike.
	string='"([^"\\]|\\.)*"'
	reserved=$(awk -v act="$act" '$5 == "accept" && $6 == "reservations" && $8 == act { print $7 }' "$tmp/said")
	if grep -q -E '"compared":\{[^][{}]*"equal":true[,}]' report.json; then
		[ -z "$reserved" ] || ko "reservations were signed of a report that found no difference"
	else
		f=documents/${reserved#sha256:}
		[ -n "$reserved" ] && [ -f "$f" ] || ko "a report was accepted whose comparison found differences"
		grep -q -E "\\{\"dataset\":$string,[^][]*\"equal\":false\\}" report.json && ko "not all that was sealed was opened, and no reservation explains that"
		{
			grep -o -E "\\{\"table\":$string,\"before\":-?[0-9]+,\"loaded\":-?[0-9]+,\"after\":-?[0-9]+,\"equal\":false\\}" report.json | sed -E 's/^.."?table":/table /; s/,"before":[^"]*"loaded":[^"]*"after":[^"]*"equal":false.$//'
			grep -o -E "\\{\"name\":$string,\"lines\":[0-9]+,\"differ\":[0-9]+\\}" report.json | grep -E '"lines":0,|"differ":[1-9]' | sed -E 's/^.."?name":/check /; s/,"lines":[0-9]+,"differ":[0-9]+.$//'
		} | sort >"$tmp/differences"
		[ -s "$tmp/differences" ] || ko "a report was accepted whose comparison found differences that it does not name"
		one="\\{\"of\":\"(table|check)\",\"name\":$string,\"why\":$line,\"owner\":\"[a-z][a-z0-9.-]*\",\"until\":\"$day\"\\}"
		run grep -q -x -E "\\{\"ecluse\":\"reservations/v1\",\"migration\":\"$id\",\"report\":\"$report\",\"differences\":\\[$one(,$one)*\\]\\}" "$f" || ko "$f holds no reservations of the report accepted"
		grep -o -E "\\{\"of\":\"(table|check)\",\"name\":$string,\"why\":" "$f" | sed -E 's/^.."?of":"(table|check)","name":/\1 /; s/,"why":$//' | sort >"$tmp/reserved"
		run cmp "$tmp/differences" "$tmp/reserved" >>"$log" 2>&1 || ko "the reservations are not of the differences that the report found"
	fi
	[ "$outcome" = 'proven with reservations' ] && [ -z "$reserved" ] && ko "the certificate says that there were reservations, and none were signed"
	[ "$outcome" != 'proven with reservations' ] && [ -n "$reserved" ] && ko "the certificate says nothing of the reservations"
	disposed=$(awk -v act="$act" '$5 == "accept" && $6 == "dispositions" && $8 == act { print $7 }' "$tmp/said")
	named=$(sed -n 's/.*"dispositions":"\(sha256:[0-9a-f]*\)".*/\1/p' certificate.json)
	grep -o -E "\"rejected\":\\[(\\{\"dataset\":$string,\"by\":$string,\"count\":$string\\},?)+\\]" report.json |
		grep -o -E "\"dataset\":$string,\"by\":$string" | sort >"$tmp/aside"
	f=documents/${disposed#sha256:}
	if [ ! -s "$tmp/aside" ]; then
		[ -z "$disposed$named" ] || ko "something was said of rows put aside, and none were"
	elif [ -f "$f" ] && grep -q '^{"ecluse":"dispositions/v1"' "$f"; then # of the first format: by reason alone
		[ "${named:-$disposed}" = "$disposed" ] || ko "of rows put aside the certificate says otherwise than the acceptance"
		run grep -q -x -E "\\{\"ecluse\":\"dispositions/v1\",\"migration\":\"$id\",\"report\":\"$report\",\"reasons\":\\{$string:$line(,$string:$line)*\\}\\}" "$f" || ko "$f holds no dispositions of the report accepted"
		sed 's/^.*,"reasons":{//' "$f" | grep -o -E "$string:$line" | sed 's/^/x/' >"$tmp/disposed"
		grep -o -E "\"by\":$string" "$tmp/aside" | sed 's/^"by"://' | sort -u >"$tmp/reasons"
		while IFS= read -r reason; do
			grep -F "x$reason:\"" "$tmp/disposed" | cut -c "1-$((${#reason} + 3))" | grep -q -x -F "x$reason:\"" || ko "nobody said what becomes of the rows put aside for $reason"
		done <"$tmp/reasons"
	else
		[ -f "$f" ] || ko "rows were put aside, and nobody said what becomes of them"
		[ "$named" = "$disposed" ] || ko "of rows put aside the certificate says otherwise than the acceptance"
		one="\\{\"dataset\":$string,\"by\":$string,\"becomes\":$line\\}"
		run grep -q -x -E "\\{\"ecluse\":\"dispositions/v2\",\"migration\":\"$id\",\"report\":\"$report\",\"rows\":\\[$one(,$one)*\\]\\}" "$f" || ko "$f holds no dispositions of the report accepted"
		grep -o -E "$one" "$f" | sed -E "s/^.(.*),\"becomes\":$line.\$/\\1/" | sort >"$tmp/disposed"
		run cmp "$tmp/aside" "$tmp/disposed" >>"$log" 2>&1 || ko "what was said of rows put aside is not of each dataset and reason of the report"
	fi
	# Rows put aside that are kept at the source gate for a while.
	kept=$(sed -n 's/.*"kept":\({"passage":{"kind":"final","number":[0-9]*},"until":"[0-9-]*","key":"sha256:[0-9a-f]*"}\).*/\1/p' certificate.json)
	if [ -n "$kept" ]; then
		passage=$(printf '%s' "$kept" | sed 's/.*"number":\([0-9]*\).*/final-\1/') until=$(printf '%s' "$kept" | sed 's/.*"until":"\([0-9-]*\)".*/\1/')
		[ "$until" = "$(fact "$tmp/instruction" 'rejects_until - rejects_until')" ] || ko "the certificate says that rows put aside are kept until $until, and the instruction says otherwise"
		[ "$(digest "loadplan-$passage.json")" = "$of" ] || ko "the rows kept are not those of the passage that was accepted"
		run grep -q -x -F "note  rows that passage $passage put aside are kept until $until at the laboratory's gate, which alone can open them" "$tmp/notes" || ko "README.txt does not say that rows put aside are kept"
		[ "$(backup source_gate)" = none ] || grep -q -x -F "note  the source gate's folder is in backups until $(backup source_gate): until then the rows kept there can be opened from them" "$tmp/notes" || ko "README.txt does not say that rows kept are in backups"
	fi
	# They are, where the instruction states a day and rows were put aside; or it is said why not.
	why='rows put aside were to be kept at the laboratory'"'"'s gate and are not:'
	unkept=$(sed -n 's/.*"not_kept":"\([a-z]*\)".*/\1/p' certificate.json) day=$(fact "$tmp/instruction" 'rejects_until - rejects_until')
	if [ -z "$day" ] || [ ! -s "$tmp/aside" ]; then
		[ -z "$kept" ] && ! grep -q '"not_kept":' certificate.json || ko "the certificate speaks of rows that are kept, and none were put aside, or the instruction states no day"
	elif [ -n "$kept" ]; then
		! grep -q '"not_kept":' certificate.json || ko "the certificate says that rows put aside are kept, and why not"
	elif grep -q '"not_kept":' certificate.json || grep -q -x -F "$of" "$tmp/guarded"; then
		case $unkept in
		deadline) why="$why the deadline of erasure came before the gate had all of them" ;;
		retired) why="$why the gate had been retired" ;;
		order) why="$why the controller ordered all erased" ;;
		contract) why="$why the contract ends before" ;;
		*) ko "the instruction has rows put aside kept until $day, and the certificate says neither that they are nor why not" ;;
		esac
		run grep -q -x -F "note  $why" "$tmp/notes" || ko "README.txt does not say that rows put aside are not kept"
	fi
	;;
order)
	grep -q -E "^controller (signatory|dpo) [^ ]* [^ ]* erase migration $instruction $act\$" "$tmp/said" || ko "the controller did not order this erasure"
	;;
deadline | 'contract end') ;;
*) ko "the certificate does not say why" ;;
esac
[ "$trigger" = acceptance ] || ! grep -q -E '"(not_)?kept":' certificate.json || ko "rows put aside are kept after acceptance and only then"
grep -l '^{"ecluse":"rejects-erased/v1"' statements/*.json 2>/dev/null >"$tmp/rows-erased"
while read -r s; do
	[ -n "${kept-}" ] && [ "$s" = "statements/source-${s##*-}" ] && grep -q -F "\"kept\":$kept,\"erased\":\"" "$s" || ko "$s is about other rows than the certificate says are kept"
	at=$(sed -n 's/.*"erased":"\([0-9T:-]*Z\)"}$/\1/p' "$s")
	[ -n "$at" ] && not_after "$(sed -n 's/.*"erased":"\([0-9T:-]*Z\)","limits":.*/\1/p' certificate.json)" "$at" || ko "$s does not say when"
	by=
	if not_after "${at%%T*}" "$until"; then # before their last day was over
		key=$(printf '%s' "$kept" | sed 's/.*"key":"\([^"]*\)".*/\1/') by=", by the controller's order"
		grep -q -E "^controller (signatory|dpo) [^ ]* [^ ]* erase kept-rows $key " "$tmp/said" || ko "the rows kept were erased on $at, before their last day, and the controller did not order it"
	fi
	printf '%s\n' "note  rows put aside, kept until $until, were erased by the laboratory's gate on $at$by" >>"$tmp/notes"
done <"$tmp/rows-erased"
[ "$(wc -l <"$tmp/rows-erased")" -le 1 ] || ko "the source gate says twice that it erased the rows kept"
if [ -n "${kept-}" ] && [ ! -s "$tmp/rows-erased" ]; then
	last=$(sed -n '$s/.* //p' "$tmp/claimed" | cut -c1-10)
	not_after "$last" "$until" || ko "the last day of the rows kept was $until, and the source gate does not say that it erased them"
fi
ok "erased by $trigger"

[ -n "$controller" ] && [ -n "$processor" ] || finish "KO not anchored" 4
finish OK 0
