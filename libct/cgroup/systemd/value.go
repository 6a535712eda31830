package systemd

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

// ParseValue reads a value in GVariant's text format: 'text', true, 5,
// uint64 5, [1, 2], (1, 'a'), {'a': 1}, <1>, b'bytes', @as []. Maybe-types and
// handles are refused, because D-Bus cannot send them.
//
// A number without a type is an int32, or a double if it has a point; in an
// array one typed element gives its type to all.
// See https://docs.gtk.org/glib/gvariant-text-format.html.
func ParseValue(text string) (dbus.Variant, error) {
	p := &parser{text: text}
	e, err := p.value(0)
	if err == nil && p.token() != "" {
		err = fmt.Errorf("more text after the value: %.20q", p.text[p.start:])
	}
	var sig string
	if err == nil {
		sig, err = e.settled()
	}
	if err != nil {
		return dbus.Variant{}, fmt.Errorf("%.80q is not a GVariant: %w", text, err)
	}
	v, err := variant(e, sig)
	if err != nil {
		return dbus.Variant{}, fmt.Errorf("%.80q: %w", text, err)
	}
	return v, nil
}

// expr is one parsed value. Its type is known when its neighbours are.
type expr struct {
	typ   string // pattern: a signature, in which '#' is any number, '$' any kind of string, '*' any type
	text  string // of a number, string or bool, without quotes and escapes
	elems []expr // of arrays and tuples; of dictionaries keys and values in turn; of a variant what is in it
}

// maxDepth is that of D-Bus for arrays, and for structures.
const maxDepth = 32

// parser reads tokens; start is where the one that token returned begins.
type parser struct {
	text       string
	start, pos int
}

// token returns the next one without taking it; "" at the end.
func (p *parser) token() string {
	for p.pos < len(p.text) && strings.IndexByte(" \t\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	p.start = p.pos
	rest := p.text[p.pos:]
	switch {
	case rest == "":
		return ""
	case strings.IndexByte("[](){}<>,:", rest[0]) >= 0:
		return rest[:1]
	case rest[0] == '\'' || rest[0] == '"':
		return quoted(rest, 0)
	case strings.HasPrefix(rest, "b'") || strings.HasPrefix(rest, `b"`):
		return quoted(rest, 1)
	case rest[0] == '@':
		// Of a type's own parentheses and braces all are part of the token.
		return rest[:1+signatureLen(rest[1:])]
	}
	if end := strings.IndexAny(rest, " \t\n[](){}<>,:'\"@"); end > 0 {
		return rest[:end]
	}
	return rest
}

// quoted returns the string that begins with the quote at i, up to the one
// that ends it; all of the rest if there is none.
func quoted(rest string, i int) string {
	for j := i + 1; j < len(rest); j++ {
		switch rest[j] {
		case '\\':
			j++
		case rest[i]:
			return rest[:j+1]
		}
	}
	return rest
}

// signatureLen is the length of the single complete type that s begins with;
// what is none is found out later.
func signatureLen(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(', '{':
			depth++
			continue
		case ')', '}':
			depth--
		case 'a', 'm':
			continue
		}
		if depth <= 0 {
			return i + 1
		}
	}
	return len(s)
}

func (p *parser) take() string {
	t := p.token()
	p.pos = p.start + len(t)
	return t
}

// typeNames are the words for types.
func typeNamed(word string) string {
	switch word {
	case "boolean":
		return "b"
	case "byte":
		return "y"
	case "int16":
		return "n"
	case "uint16":
		return "q"
	case "int32":
		return "i"
	case "uint32":
		return "u"
	case "int64":
		return "x"
	case "uint64":
		return "t"
	case "double":
		return "d"
	case "string":
		return "s"
	case "objectpath":
		return "o"
	case "signature":
		return "g"
	}
	return ""
}

func (p *parser) value(depth int) (expr, error) {
	if depth > maxDepth {
		return expr{}, errors.New("nested too deep")
	}
	t := p.take()
	switch {
	case t == "":
		return expr{}, errors.New("it ends too early")
	case t[0] == '@':
		return p.typed(t[1:], depth)
	case typeNamed(t) != "":
		return p.typed(typeNamed(t), depth)
	case t == "true" || t == "false":
		return expr{typ: "b", text: t}, nil
	case t[0] == '\'' || t[0] == '"':
		s, err := unquote(t)
		return expr{typ: "$", text: s}, err
	case strings.HasPrefix(t, "b'") || strings.HasPrefix(t, `b"`):
		s, err := unquoteBytes(t[1:])
		return expr{typ: "ay", text: s}, err
	case t == "[":
		return p.array(depth)
	case t == "(":
		return p.tuple(depth)
	case t == "{":
		return p.dict(depth)
	case t == "<":
		e, err := p.value(depth + 1)
		if err == nil {
			err = p.expect(">")
		}
		return expr{typ: "v", elems: []expr{e}}, err
	case isNumber(t):
		return expr{typ: numberType(t), text: t}, nil
	}
	return expr{}, fmt.Errorf("unexpected %.20q", t)
}

func (p *parser) expect(want string) error {
	if t := p.take(); t != want {
		return fmt.Errorf("%q is expected, not %.20q", want, t)
	}
	return nil
}

// typed gives the following value a type.
func (p *parser) typed(sig string, depth int) (expr, error) {
	if !isType(sig) || strings.Contains(sig, "h") {
		return expr{}, fmt.Errorf("@%.20s is not a type that D-Bus can send", sig)
	}
	e, err := p.value(depth + 1)
	if err == nil {
		err = e.unify(sig)
	}
	return e, err
}

// list reads values up to the token end, with commas between them.
func (p *parser) list(end string, depth int) (elems []expr, err error) {
	for p.token() != end {
		e, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		elems = append(elems, e)
		if p.token() == end {
			break
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
	return elems, p.expect(end)
}

func (p *parser) array(depth int) (expr, error) {
	elems, err := p.list("]", depth)
	if err != nil {
		return expr{}, err
	}
	typ := "*"
	for _, e := range elems {
		if typ, err = unify(typ, e.typ); err != nil {
			return expr{}, err
		}
	}
	return expr{typ: "a" + typ, elems: elems}, nil
}

func (p *parser) tuple(depth int) (expr, error) {
	elems, err := p.list(")", depth)
	if err != nil {
		return expr{}, err
	}
	if len(elems) == 0 {
		return expr{}, errors.New("D-Bus has no empty tuples")
	}
	typ := "("
	for _, e := range elems {
		typ += e.typ
	}
	return expr{typ: typ + ")", elems: elems}, nil
}

func (p *parser) dict(depth int) (expr, error) {
	key, value := "*", "*"
	var elems []expr
	for p.token() != "}" {
		k, err := p.value(depth + 1)
		if err == nil {
			err = p.expect(":")
		}
		var v expr
		if err == nil {
			v, err = p.value(depth + 1)
		}
		if err == nil {
			key, err = unify(key, k.typ)
		}
		if err == nil {
			value, err = unify(value, v.typ)
		}
		if err != nil {
			return expr{}, err
		}
		elems = append(elems, k, v)
		if p.token() == "}" {
			break
		}
		if err := p.expect(","); err != nil {
			return expr{}, err
		}
	}
	return expr{typ: "a{" + key + value + "}", elems: elems}, p.expect("}")
}

// unquote takes the quotes and escapes from a string.
func unquote(t string) (string, error) {
	if len(t) < 2 || t[len(t)-1] != t[0] {
		return "", errors.New("a string has no end")
	}
	var b strings.Builder
	body := t[1 : len(t)-1]
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			b.WriteByte(body[i])
			continue
		}
		if i++; i == len(body) {
			return "", errors.New("a string has no end")
		}
		if n := map[byte]int{'u': 4, 'U': 8}[body[i]]; n > 0 {
			r, ok := codePoint(body[i+1:], n)
			if !ok {
				return "", fmt.Errorf(`\%c needs %d hexadecimal digits of a character`, body[i], n)
			}
			b.WriteRune(r)
			i += n
			continue
		}
		b.WriteByte(escaped(body[i]))
	}
	if s := b.String(); !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return "", errors.New("a string is not UTF-8 without NUL")
	}
	return b.String(), nil
}

// escaped is the character after a backslash.
func escaped(c byte) byte {
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		return "\a\b\f\n\r\t\v"[i]
	}
	return c
}

func codePoint(s string, digits int) (rune, bool) {
	if len(s) < digits {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:digits]) {
		i := strings.IndexByte("0123456789abcdef", c|0x20)
		if i < 0 || c < '0' {
			return 0, false
		}
		n = n<<4 | i
	}
	return rune(n), n <= utf8.MaxRune && utf8.ValidRune(rune(n))
}

// unquoteBytes is for b'…', whose escapes may also be octal numbers. The
// value ends in NUL, as in C.
func unquoteBytes(t string) (string, error) {
	if len(t) < 2 || t[len(t)-1] != t[0] {
		return "", errors.New("a string has no end")
	}
	var b []byte
	body := t[1 : len(t)-1]
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			b = append(b, body[i])
			continue
		}
		if i++; i == len(body) {
			return "", errors.New("a string has no end")
		}
		n, digits := 0, 0
		for digits < 3 && i+digits < len(body) && body[i+digits] >= '0' && body[i+digits] <= '7' {
			n, digits = n<<3|int(body[i+digits]-'0'), digits+1
		}
		switch {
		case n > 0xff:
			return "", errors.New("an octal escape is not a byte")
		case digits > 0:
			b = append(b, byte(n))
			i += digits - 1
		default:
			b = append(b, escaped(body[i]))
		}
	}
	return string(append(b, 0)), nil
}
