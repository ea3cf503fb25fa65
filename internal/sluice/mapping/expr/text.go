package expr

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/common/operators"
	"golang.org/x/text/encoding/charmap"

	"ecluse"
)

func (l *lang) texts() {
	l.add(operators.Add, kText, kinds(kText, kText), concat)
	l.view("trim", func(s []byte) ([]byte, bool) { return bytes.Trim(s, " \t\r\n\v\f"), true })
	l.view("last_word", func(s []byte) ([]byte, bool) { return s[bytes.LastIndexByte(s, ' ')+1:], true })
	l.add("before_last_word", kText, kinds(kText), beforeLastWord)
	l.add("upper", kText, kinds(kText), func(k *callSite) (Operand, error) { return k.runes("upper", unicode.ToUpper) })
	l.add("lower", kText, kinds(kText), func(k *callSite) (Operand, error) { return k.runes("lower", unicode.ToLower) })
	l.add("left", kText, kinds(kText, kInt), func(k *callSite) (Operand, error) {
		return k.cut(func(s []byte, n int) []byte { return s[:runesIn(s, n)] })
	})
	l.add("right", kText, kinds(kText, kInt), func(k *callSite) (Operand, error) {
		return k.cut(func(s []byte, n int) []byte { return s[runesIn(s, max(utf8.RuneCount(s)-n, 0)):] })
	})
	l.add("lpad", kText, kinds(kText, kInt, kText), lpad)
	l.add("replace", kText, kinds(kText, kText, kText), replace)
	l.add("repair", kText, kinds(kText, kText), repair)
	l.add("strip", kText, kinds(kText, kText), strip)
	l.add("before", kText, kinds(kText, kText), func(k *callSite) (Operand, error) {
		return k.around(func(s []byte, at, _ int) []byte { return s[:at] })
	})
	l.add("after", kText, kinds(kText, kText), func(k *callSite) (Operand, error) {
		return k.around(func(s []byte, at, n int) []byte { return s[at+n:] })
	})
	for name, f := range map[string]func(s, part []byte) bool{
		"contains": bytes.Contains, "starts_with": bytes.HasPrefix, "ends_with": bytes.HasSuffix,
	} {
		l.add(name, kBool, kinds(kText, kText), func(k *callSite) (Operand, error) { return k.part(f) })
	}
	l.add("matches", kBool, kinds(kText, kText), matches)
	l.add("size", kInt, kinds(kText), func(k *callSite) (Operand, error) {
		a, err := k.arg(0)
		if err != nil {
			return a, err
		}
		return k.textToNum("size", widest(kInt), false, a, func(s []byte) (int64, bool) { return int64(utf8.RuneCount(s)), true }), nil
	})
	l.add("split", List, kinds(kText, kText), split)
	l.add("split", List, kinds(kText, kText, optionKind), split)
	l.add("size", kInt, kinds(List), listSize)
	l.add(operators.Index, kText, kinds(List, kInt), listItem)
	for _, kind := range kinds(kBool, kInt, kDecimal, kNumber, kFloat) {
		l.add("to_text", kText, kinds(kind), toText)
	}
}

// view adds a function whose result is a part of its argument.
func (l *lang) view(name string, f func([]byte) ([]byte, bool)) {
	l.add(name, kText, kinds(kText), func(k *callSite) (Operand, error) {
		a, err := k.arg(0)
		if err != nil {
			return a, err
		}
		return k.textToText(name, widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
			v, ok := f(s)
			return dst, v, ok
		}), nil
	})
}

// textToText is a kernel from one text to one. f may append to dst, and returns
// dst and its result: a part of dst or of the argument.
func (c *Compiler) textToText(key string, t ecluse.Type, mayMiss bool, a Operand, f func(dst, s []byte) ([]byte, []byte, bool)) Operand {
	return c.emit(key, t, mayMiss, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.texts(n)
			for i := range n {
				p := i & x.mask
				s, v := x.state[p], []byte(nil)
				if s == 0 {
					var ok bool
					if z.arena, v, ok = f(z.arena, x.txt[p]); !ok {
						s, v = Miss, nil
					}
				}
				z.state[i], z.txt[i] = s, v
			}
		}
	})
}

// numToText is a kernel that spells one integer.
func (c *Compiler) numToText(key string, t ecluse.Type, mayMiss bool, a Operand, f func(dst []byte, v int64) ([]byte, bool)) Operand {
	return c.emit(key, t, mayMiss, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.texts(n)
			for i := range n {
				p, from := i&x.mask, len(z.arena)
				s := x.state[p]
				if s == 0 {
					var ok bool
					if z.arena, ok = f(z.arena, x.num[p]); !ok {
						s = Miss
					}
				}
				z.state[i], z.txt[i] = s, z.arena[from:len(z.arena):len(z.arena)]
			}
		}
	})
}

// concat is a + b + c…, written at once.
func concat(k *callSite) (Operand, error) {
	in, err := k.pieces(nil)
	if err != nil {
		return Operand{}, err
	}
	return k.emit("concat", widest(kText), false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			z := &m.regs[out]
			z.texts(n)
			for i := range n {
				from, s := len(z.arena), uint8(0)
				for _, r := range in {
					x := &m.regs[r]
					s |= x.state[i&x.mask]
					z.arena = append(z.arena, x.txt[i&x.mask]...)
				}
				z.state[i], z.txt[i] = s, z.arena[from:len(z.arena):len(z.arena)]
			}
		}
	}), nil
}

// pieces flattens nested additions of texts.
func (k *callSite) pieces(in []Operand) ([]Operand, error) {
	for i, e := range k.args {
		if call := e.AsCall(); call.FunctionName() == operators.Add && !call.IsMemberFunction() {
			sub := &callSite{walk: k.walk, node: e, args: call.Args(), sig: k.sig}
			var err error
			if in, err = sub.pieces(in); err != nil {
				return nil, err
			}
			continue
		}
		o, err := k.arg(i)
		if err != nil {
			return nil, err
		}
		in = append(in, o)
	}
	return in, nil
}

// beforeLastWord is null, not a miss, where there is one word.
func beforeLastWord(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.emit("before_last_word", widest(kText), false, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.texts(n)
			for i := range n {
				p := i & x.mask
				z.state[i], z.txt[i] = x.state[p], nil
				if z.state[i] != 0 {
					continue
				}
				if at := bytes.LastIndexByte(x.txt[p], ' '); at >= 0 {
					z.txt[i] = x.txt[p][:at]
				} else {
					z.state[i] = Null
				}
			}
		}
	}), nil
}

func (k *callSite) runes(name string, f func(rune) rune) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.textToText(name, widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
		from, changed := len(dst), false
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRune(s[i:])
			u := f(r)
			changed = changed || u != r
			dst = utf8.AppendRune(dst, u)
			i += n
		}
		if !changed {
			return dst[:from], s, true
		}
		return dst, dst[from:len(dst):len(dst)], true
	}), nil
}

// runesIn is the length in bytes of the first n characters of s.
func runesIn(s []byte, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRune(s[at:])
		at += size
	}
	return at
}

// maxPad bounds the numbers of characters that functions are given.
const maxPad = 1000

func (k *callSite) cut(f func(s []byte, n int) []byte) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	n, err := k.fixedInt(1, 0, maxPad)
	if err != nil {
		return Operand{}, err
	}
	return k.textToText(fmt.Sprintf("%s %d", k.sig.name, n), widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
		return dst, f(s, n), true
	}), nil
}

// lpad never cuts: what is longer stays as it is.
func lpad(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	width, err := k.fixedInt(1, 1, maxPad)
	if err != nil {
		return Operand{}, err
	}
	pad, err := k.fixedText(2)
	if err != nil {
		return Operand{}, err
	}
	if utf8.RuneCountInString(pad) != 1 {
		return Operand{}, fault(k.args[2], "want one character")
	}
	return k.textToText(fmt.Sprintf("lpad %d %s", width, pad), widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
		from := len(dst)
		for range width - utf8.RuneCount(s) {
			dst = append(dst, pad...)
		}
		if len(dst) == from {
			return dst, s, true
		}
		dst = append(dst, s...)
		return dst, dst[from:len(dst):len(dst)], true
	}), nil
}

func replace(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	was, err := k.fixedText(1)
	if err != nil {
		return Operand{}, err
	}
	is, err := k.fixedText(2)
	if err != nil {
		return Operand{}, err
	}
	if was == "" {
		return Operand{}, fault(k.args[1], "nothing cannot be replaced")
	}
	old := []byte(was)
	return k.textToText(fmt.Sprintf("replace %q %q", was, is), widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
		at := bytes.Index(s, old)
		if at < 0 {
			return dst, s, true
		}
		from := len(dst)
		for at >= 0 {
			dst = append(append(dst, s[:at]...), is...)
			s = s[at+len(old):]
			at = bytes.Index(s, old)
		}
		dst = append(dst, s...)
		return dst, dst[from:len(dst):len(dst)], true
	}), nil
}

// charsets are those that old laboratory software was seen to mistake for UTF-8.
var charsets = map[string]*charmap.Charmap{
	"windows-1252": charmap.Windows1252,
	"iso-8859-1":   charmap.ISO8859_1,
	"iso-8859-15":  charmap.ISO8859_15,
	"cp850":        charmap.CodePage850,
	"macintosh":    charmap.Macintosh,
}

// repair undoes UTF-8 that was once read as another character set: what encodes
// in that set to valid UTF-8 is that, all else stays as it is.
func repair(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	name, err := k.fixedText(1)
	if err != nil {
		return Operand{}, err
	}
	set := charsets[name]
	if set == nil {
		return Operand{}, fault(k.args[1], "want windows-1252, iso-8859-1, iso-8859-15, cp850 or macintosh")
	}
	return k.textToText("repair "+name, widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
		if ascii(s) {
			return dst, s, true
		}
		from := len(dst)
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRune(s[i:])
			b, ok := set.EncodeRune(r)
			if !ok {
				return dst[:from], s, true
			}
			dst = append(dst, b)
			i += n
		}
		if !utf8.Valid(dst[from:]) {
			return dst[:from], s, true
		}
		return dst, dst[from:len(dst):len(dst)], true
	}), nil
}

func ascii(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// strip takes off what the pattern matches at the end.
func strip(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	re, pattern, err := k.pattern(1, `(?:%s)\z`)
	if err != nil {
		return Operand{}, err
	}
	return k.textToText("strip "+pattern, widest(kText), false, a, func(dst, s []byte) ([]byte, []byte, bool) {
		return dst, s[:len(s)-len(re.Find(s))], true
	}), nil
}

// pattern compiles a fixed regular expression (RE2) put into a form.
func (k *callSite) pattern(i int, form string) (*regexp.Regexp, string, error) {
	s, err := k.fixedText(i)
	if err != nil {
		return nil, "", err
	}
	if _, err := regexp.Compile(s); err != nil {
		return nil, "", fault(k.args[i], "%v", err)
	}
	re, err := regexp.Compile(fmt.Sprintf(form, s))
	if err != nil {
		return nil, "", fault(k.args[i], "%v", err)
	}
	return re, s, nil
}

func matches(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	re, pattern, err := k.pattern(1, "%s")
	if err != nil {
		return Operand{}, err
	}
	return k.textToNum("matches "+pattern, widest(kBool), false, a, func(s []byte) (int64, bool) { return truth(re.Match(s)), true }), nil
}

// around is the part before or after the first occurrence of a fixed text.
func (k *callSite) around(f func(s []byte, at, n int) []byte) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	sep, err := k.fixedText(1)
	if err != nil {
		return Operand{}, err
	}
	if sep == "" {
		return Operand{}, fault(k.args[1], "must not be empty")
	}
	part := []byte(sep)
	return k.textToText(k.sig.name+" "+sep, widest(kText), true, a, func(dst, s []byte) ([]byte, []byte, bool) {
		at := bytes.Index(s, part)
		if at < 0 {
			return dst, nil, false
		}
		return dst, f(s, at, len(part)), true
	}), nil
}

func (k *callSite) part(f func(s, part []byte) bool) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	return k.emit(k.sig.name, widest(kBool), false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, y, z := &m.regs[in[0]], &m.regs[in[1]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p, q := i&x.mask, i&y.mask
				z.state[i], z.num[i] = x.state[p]|y.state[q], 0
				if z.state[i] == 0 {
					z.num[i] = truth(f(x.txt[p], y.txt[q]))
				}
			}
		}
	}), nil
}
