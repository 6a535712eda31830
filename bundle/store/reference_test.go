package store

import (
	"regexp"
	"strings"
	"testing"
)

func TestParseReference(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     Reference // zero: an error
	}{
		{name: "no tag means latest", in: "img", want: Reference{"img", "latest"}},
		{name: "path and tag", in: "./a/b:v1.0", want: Reference{"./a/b", "v1.0"}},
		{name: "cut at the first colon", in: "img:a:b", want: Reference{"img", "a:b"}},
		{name: "tag with slashes", in: "img:org/app/v1", want: Reference{"img", "org/app/v1"}},
		{name: "double dash", in: "img:a--b", want: Reference{"img", "a--b"}},
		{name: "empty", in: ""},
		{name: "empty path", in: ":latest"},
		{name: "empty tag", in: "img:"},
		{name: "tag begins with a separator", in: "img:.hidden"},
		{name: "tag ends with a separator", in: "img:v1-"},
		{name: "two separators", in: "img:a..b"},
		{name: "three dashes", in: "img:a---b"},
		{name: "tag leads upwards", in: "img:../../etc"},
		{name: "empty component", in: "img:a//b"},
		{name: "space", in: "img:a b"},
		{name: "newline", in: "img:a\n"},
		{name: "not ASCII", in: "img:é"},
		{name: "NUL in the path", in: "i\x00mg"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseReference(test.in)
			if (err != nil) != (test.want == Reference{}) || got != test.want {
				t.Errorf("ParseReference(%q) = %+v, %v; want %+v", test.in, got, err, test.want)
			}
		})
	}
}

// FuzzParseReference compares the parser with the grammar as it is written in
// umoci's contract.
func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"img", "img:v1", "a:b:c", ":", "a:", "a:b--c", "a:b---c", "a:b/c", "a:b@c+d_e"} {
		f.Add(seed)
	}
	grammar := regexp.MustCompile(`^([A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*)(/([A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*))*$`)
	f.Fuzz(func(t *testing.T, in string) {
		ref, err := ParseReference(in)
		path, tag, found := strings.Cut(in, ":")
		if !found {
			tag = defaultTag
		}
		valid := path != "" && !strings.Contains(path, "\x00") && grammar.MatchString(tag)
		if valid != (err == nil) {
			t.Fatalf("ParseReference(%q): %v; valid is %v", in, err, valid)
		}
		if valid && (ref != Reference{path, tag}) {
			t.Fatalf("ParseReference(%q) = %+v", in, ref)
		}
	})
}
