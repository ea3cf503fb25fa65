package evidence

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ecluse"
)

// FormatSums writes a SHA256SUMS: one "hex  name" a line, sorted by name, as
// sha256sum does.
func FormatSums(sums map[string]ecluse.Digest) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&b, "%s  %s\n", sums[name].Hex(), name)
	}
	return b.Bytes()
}

// ParseSums reads what FormatSums wrote.
func ParseSums(text []byte) (map[string]ecluse.Digest, error) {
	const what = "read SHA256SUMS"
	sums := map[string]ecluse.Digest{}
	for line := range strings.Lines(string(text)) {
		hash, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		d, err := ecluse.ParseDigest("sha256:" + hash)
		if err != nil {
			return nil, because(ecluse.Invalid, what, err)
		}
		if !plainName(name) {
			return nil, invalid(what, "%q is not a name of the form allowed", name)
		}
		sums[name] = d
	}
	if !bytes.Equal(FormatSums(sums), text) {
		return nil, invalid(what, "its lines are not sorted, or a name is repeated")
	}
	return sums, nil
}
