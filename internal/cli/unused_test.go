package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestUnusedIsTold(t *testing.T) {
	for french, want := range map[bool]string{false: "no use for: d.a, d.b", true: "sans emploi dans la table de transcodage : d.a, d.b"} {
		var b bytes.Buffer
		u := &ui{out: &b, french: french}
		u.unused(nil)
		if b.Len() > 0 {
			t.Errorf("told %q of nothing", &b)
		}
		if u.unused([]string{"d.a", "d.b"}); !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "5(1)(c)") {
			t.Errorf("told %q", &b)
		}
	}
}
