package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// canaries counts the files that hold the canary in some encoding: everything
// that was written, the old laboratory's own database aside.
func (s *story) canaries() (int, error) { return searchCanary(s.Dir, "ancilab.db") }

// searchCanary searches every file under dir whose name does not begin with but.
func searchCanary(dir, but string) (int, error) {
	found := 0
	forms := encodings(canary)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), but) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, f := range forms {
			if bytes.Contains(text, f) {
				found++
				break
			}
		}
		return nil
	})
	return found, err
}

// encodings are the forms a text could leak in.
func encodings(s string) [][]byte {
	forms := [][]byte{[]byte(s), []byte(strings.ToLower(s)), []byte(hex.EncodeToString([]byte(s))), []byte(strings.ToUpper(hex.EncodeToString([]byte(s))))}
	var little, big []byte
	for _, u := range utf16.Encode([]rune(s)) {
		little = append(little, byte(u), byte(u>>8))
		big = append(big, byte(u>>8), byte(u))
	}
	forms = append(forms, little, big)
	for shift := range 3 { // base64 of the text at each of its three phases
		padded := append(bytes.Repeat([]byte{'x'}, shift), s...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := enc.EncodeToString(padded)
			forms = append(forms, []byte(coded[4:len(coded)-4]))
		}
	}
	return forms
}
