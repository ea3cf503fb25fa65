package demo

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// canaries counts the files that hold the canary in some encoding: everything
// that was written, the old laboratory's own database aside.
func (s *story) canaries() (int, error) {
	old := s.path("ancilab.db")
	found, err := Find(s.Dir, func(path string) bool { return strings.HasPrefix(path, old) }, canary)
	return len(found), err
}

// Find lists the files below a folder that hold one of some texts, in any of
// several encodings; files that aside names are not looked at.
func Find(dir string, aside func(path string) bool, texts ...string) ([]string, error) {
	var found []string
	var forms [][]byte
	for _, t := range texts {
		forms = append(forms, encodings(t)...)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || aside(path) {
			return err
		}
		hit, err := holds(path, forms)
		if hit {
			found = append(found, path)
		}
		return err
	})
	return found, err
}

// holds tells whether a file holds one of some texts. It is read in blocks that
// overlap by the longest.
func holds(path string, forms [][]byte) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	longest := 0
	for _, form := range forms {
		longest = max(longest, len(form))
	}
	buf, kept := make([]byte, 1<<20+longest), 0
	for {
		n, err := io.ReadFull(f, buf[kept:])
		block := buf[:kept+n]
		for _, form := range forms {
			if bytes.Contains(block, form) {
				return true, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, nil
		case err != nil:
			return false, err
		}
		kept = copy(buf, block[len(block)-longest:])
	}
}

// encodings are the forms a text could leak in.
func encodings(s string) [][]byte {
	upper := strings.ToUpper(hex.EncodeToString([]byte(s)))
	forms := [][]byte{[]byte(s), []byte(strings.ToLower(s)), []byte(strings.ToLower(upper)), []byte(upper), []byte(url.QueryEscape(s))}
	var little, big []byte
	for _, u := range utf16.Encode([]rune(s)) {
		little = append(little, byte(u), byte(u>>8))
		big = append(big, byte(u>>8), byte(u))
	}
	forms = append(forms, little, big)
	// Base 64 and 32 of the text at each place in a group that it can begin at,
	// less the digits that its neighbours change.
	for shift := range 3 {
		padded := append(bytes.Repeat([]byte{'x'}, shift), s...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := enc.EncodeToString(padded)
			forms = append(forms, inside(coded, 4)...)
		}
	}
	for shift := range 5 {
		coded := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(append(bytes.Repeat([]byte{'x'}, shift), s...))
		forms = append(forms, inside(coded, 8)...)
	}
	return forms
}

// inside is what neighbours leave of a coded text; nothing of a text so short
// that what is left would be found anywhere.
func inside(coded string, edge int) [][]byte {
	if len(coded) < 2*edge+8 {
		return nil
	}
	return [][]byte{[]byte(coded[edge : len(coded)-edge])}
}
