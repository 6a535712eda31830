package systemd

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestParseValue(t *testing.T) {
	for _, tt := range []struct{ text, sig, want string }{
		{"true", "b", "true"},
		{"false", "b", "false"},
		{"5", "i", "5"},
		{"-5", "i", "-5"},
		{"+5", "i", "5"},
		{"0x1F", "i", "31"},
		{"017", "i", "15"},
		{"0", "i", "0"},
		{"2.5", "d", "2.5"},
		{"1e3", "d", "1000"},
		{".5", "d", "0.5"},
		{"-inf", "d", "-Inf"},
		{"double 3", "d", "3"},
		{"double 0x10", "d", "16"},
		{"uint64 123456789", "t", "123456789"},
		{"uint64 18446744073709551615", "t", "18446744073709551615"},
		{"uint32 +7", "u", "7"},
		{"int16 -32768", "n", "-32768"},
		{"uint16 65535", "q", "65535"},
		{"int64 -1", "x", "-1"},
		{"byte 255", "y", "255"},
		{"@t 5", "t", "5"},
		{"'a'", "s", "a"},
		{`"it's"`, "s", "it's"},
		{`'a\'b\n\u00e9\U0001F600\q'`, "s", "a'b\né😀q"},
		{"objectpath '/a/b'", "o", "/a/b"},
		{"signature 'a(st)'", "g", "a(st)"},
		{"[1, 2,3,]", "ai", "[1 2 3]"},
		{"[1, uint64 2]", "at", "[1 2]"},
		{"['a', 'b']", "as", "[a b]"},
		{"[1, 2.5]", "ad", "[1 2.5]"},
		{"@as []", "as", "[]"},
		{"@a(st) [('/dev/sda', 5)]", "a(st)", "[{/dev/sda 5}]"},
		{"[('a', 5), ('b', uint64 6)]", "a(st)", "[{a 5} {b 6}]"},
		{"(1,)", "(i)", "{1}"},
		{"(1, 'a', true)", "(isb)", "{1 a true}"},
		{"{'a': 1, 'b': 2}", "a{si}", "map[a:1 b:2]"},
		{"@a{sv} {}", "a{sv}", "map[]"},
		{"[[1], []]", "aai", "[[1] []]"},
		{"<5>", "v", "5"},
		{"[<5>, <'a'>]", "av", `[5 "a"]`},
		{`b'ab\101\0'`, "ay", "[97 98 65 0 0]"},
		{"[byte 1, 2]", "ay", "[1 2]"},
		{"  \t5\n", "i", "5"},
	} {
		v, err := ParseValue(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if got := text(v); v.Signature().String() != tt.sig || got != tt.want {
			t.Errorf("%s: got %s %q, want %s %q", tt.text, v.Signature(), got, tt.sig, tt.want)
		}
	}
}

func TestParseValueRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "ends too early"},
		{"[1", "is expected"},
		{"[1 2]", `"," is expected`},
		{"5 6", "more text"},
		{"True", "unexpected"},
		{"'a", "no end"},
		{`'a\'`, "no end"},
		{"b'a", "no end"},
		{"'\xff'", "not UTF-8"},
		{`'\u0000'`, "without NUL"},
		{`'\ud800'`, "hexadecimal digits"},
		{`'\u12'`, "hexadecimal digits"},
		{"[]", "not known"},
		{"{}", "not known"},
		{"[1, 'a']", "types differ: number and string"},
		{"[(1, 2), (1, 2, 3)]", "types differ"},
		{"uint64 -1", "is not a number"},
		{"byte 256", "out of range"},
		{"2147483648", "out of range"},
		{"1e999", "out of range"},
		{"uint32 'a'", "types differ"},
		{"@b 1", "types differ"},
		{"@h 1", "not a type"},
		{"handle 1", "unexpected"},
		{"@ms nothing", "not a type"},
		{"just 'a'", "unexpected"},
		{"@ 5", "not a type"},
		{"@ii 5", "unexpected"},
		{"@(i 5", "not a type"},
		{"()", "no empty tuples"},
		{"{[1]: 2}", "no type"},
		{"{'a': 1, 'a': 2}", "twice"},
		{"objectpath 'a'", "not an object path"},
		{"signature '('", "signature"},
		{"<[]>", "not known"},
		{"5_000", "unexpected"},
		{"0b1", "unexpected"},
		{"--5", "unexpected"},
		{"b'\\777'", "not a byte"},
		{strings.Repeat("[", 40) + "1" + strings.Repeat("]", 40), "too deep"},
		{strings.Repeat("<", 40) + "1" + strings.Repeat(">", 40), "too deep"},
	} {
		if v, err := ParseValue(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, %v, want …%s…", tt.text, v, err, tt.want)
		}
	}
}

// FuzzParseValue: whatever is parsed can be sent, and is parsed again to the
// same where godbus can print it.
func FuzzParseValue(f *testing.F) {
	for _, seed := range []string{
		"true", "uint64 5", "'a\\u00e9'", "[1, 2.5]", "@a(st) [('/dev/sda', 5)]", "{'a': <b'x\\001'>}", "(1,)", "[[], [(1, 'a')]]",
		"objectpath '/a'", "signature 'ai'", "@as []", "0x7f", "-inf", "double 017", "[byte 1]", "@a{sv} {}", "<<1>>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseValue(s)
		if err != nil {
			return
		}
		send(t, v)
	})
}

func TestSetting(t *testing.T) {
	for _, tt := range []struct{ name, value, wantName, sig, want string }{
		{"TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec", "t", "123456789"},
		{"CollectMode", "'inactive-or-failed'", "CollectMode", "s", "inactive-or-failed"},
		{"TimeoutStopSec", "123", "TimeoutStopUSec", "t", "123000000"},
		{"TimeoutStopSec", "uint64 3", "TimeoutStopUSec", "t", "3000000"},
		{"RuntimeMaxSec", "1.5", "RuntimeMaxUSec", "t", "1500000"},
		{"After", "['a.service']", "After", "as", "[a.service]"},
		{"SendSIGHUP", "true", "SendSIGHUP", "b", "true"},
	} {
		p, err := Setting{tt.name, tt.value}.property()
		if err != nil || p.Name != tt.wantName || p.Value.Signature().String() != tt.sig || text(p.Value) != tt.want {
			t.Errorf("%s=%s: got %v, %v", tt.name, tt.value, p, err)
		}
	}
	for _, tt := range []struct{ name, value, want string }{
		{"TimeoutStopSec", "'5'", "a number of seconds is needed"},
		{"TimeoutStopSec", "-5", "out of range"},
		{"TimeoutStopSec", "nan", "out of range"},
		{"TimeoutStopSec", "inf", "out of range"},
		{"TimeoutStopSec", "uint64 18446744073709551615", "too many"},
		{"TimeoutStopSec", "", "not a GVariant"},
		{"A", "1", "too short"},
		{"", "1", "too short"},
		{"Time out", "1", "letters only"},
		{"Ünits", "1", "letters only"},
		{"PIDs", "[uint32 1]", "hako's to say"},
		{"Slice", "'a.slice'", "linux.cgroupsPath"},
	} {
		if err := (Setting{tt.name, tt.value}).Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: got %v, want …%s…", tt.name, tt.value, err, tt.want)
		}
	}
}

// send fails if godbus cannot put v into a message, or reads another type.
func send(t *testing.T, v dbus.Variant) {
	t.Helper()
	m := &dbus.Message{
		Type: dbus.TypeSignal,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/")), dbus.FieldInterface: dbus.MakeVariant("a.b"),
			dbus.FieldMember:    dbus.MakeVariant("C"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(v)),
		},
		Body: []any{v},
	}
	if v.Signature().String() == "" {
		t.Fatal("no signature")
	}
	var b strings.Builder
	if err := encode(m, &b); err != nil {
		t.Fatalf("%s: %v", v.Signature(), err)
	}
	got, err := dbus.DecodeMessage(strings.NewReader(b.String()))
	if err != nil {
		t.Fatalf("%s: %v", v.Signature(), err)
	}
	if back := got.Body[0].(dbus.Variant).Signature(); back != v.Signature() {
		t.Fatalf("%s came back as %s", v.Signature(), back)
	}
}
