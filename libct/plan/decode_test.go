package plan

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestDecodeRefuses(t *testing.T) {
	many := ""
	for i := range 100 {
		many += `"k` + strings.Repeat("x", i) + `":1,`
	}
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", "config.json: the file is empty"},
		{"blanks", " \n", "config.json: the file is empty"},
		{"an array", "[]", "config.json:1:1: array where an object is expected"},
		{"a cut", "{\n\t\"root\": {", "config.json:2:10: unexpected end of JSON input"},
		{"a missing comma", "{\n  \"a\": 1\n  \"b\": 2}", "config.json:3:3: invalid character '\"' after object key:value pair"},
		{"trailing data", "{}\n{}", "config.json:2:1: invalid character '{' after top-level value"},
		{"a number that is not JSON", `{"x":01}`, "config.json:1:7: invalid character '1'"},
		{"a line break in a string", "{\"ociVersion\":\"a\nb\"}", "invalid character '\\n' in string literal"},
		{"an escape that is not JSON", `{"x":"\u00zz"}`, "invalid character 'z'"},
		{"a wrong type", "{\"process\":\n{\"user\": {\"uid\": \"x\"}}}", "config.json:2:20: process.user.uid: string where a number (uint32) is expected"},
		{"a negative id", `{"process":{"user":{"uid":-1}}}`, "process.user.uid: number -1 where a number (uint32) is expected"},
		{"a large id", `{"process":{"user":{"uid":4294967296}}}`, "number 4294967296 where a number (uint32) is expected"},
		{"an endless number", `{"process":{"user":{"uid":` + strings.Repeat("9", 10000) + `}}}`, "…"},
		{"a string for a list", `{"mounts":"x"}`, "mounts: string where an array is expected"},
		{"a list for a string", `{"hostname":[]}`, "hostname: array where a string is expected"},
		{"a number for a bool", `{"root":{"readonly":1}}`, "root.readonly: number where true or false is expected"},
		{"invalid UTF-8", "{\n\"hostname\":\"a\xff\"}", "config.json:2:14: invalid UTF-8"},
		{"a NUL", `{"hostname":"a\u0000b"}`, "config.json:1:13: NUL character in a string"},
		{"a NUL in an unknown key", `{"x":{"\u0000":1}}`, "config.json:1:7: NUL character in a string"},
		{"a duplicate key", `{"process":{"cwd":"/a","args":[],"cwd":"/b"}}`, `config.json:1:34: duplicate property "cwd"`},
		{"a duplicate escaped key", `{"cwd":1,"\u0063wd":2}`, `config.json:1:10: duplicate property "cwd"`},
		{"a duplicate among many", `{` + many + `"k":1}`, `duplicate property "k"`},
		{"nesting", strings.Repeat(`{"a":`, 65), "nested deeper than 64 levels"},
		{"nesting of arrays", strings.Repeat(`[`, 1<<20), "nested deeper than 64 levels"},
		{"size", strings.Repeat(" ", maxDocument+1), "config.json: larger than 16 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec, err := Decode([]byte(tc.text))
			if err == nil || spec != nil {
				t.Fatalf("accepted as %+v", spec)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("%d bytes", len(err.Error()))
			}
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	for _, tc := range []struct{ name, text string }{
		{"unknown properties", `{"ociVersion":"1.0.0","process":{"x":[{"y":{}}]},"z":null}`},
		{"null", `null`},
		{"the same key in siblings", `{"a":{"x":1},"b":{"x":1},"mounts":[{"source":"a"},{"source":"a"}]}`},
		{"a value equal to a key", `{"a":"a","b":["a","b","a"]}`},
		{"an escaped backslash before u0000", `{"a":"\\u0000"}`},
		{"the deepest", strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat(`}`, 64)},
		{"keys of annotations that differ in case", `{"annotations":{"a":"1","A":"2"}}`},
	} {
		if _, err := Decode([]byte(tc.text)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadConfig(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	file := filepath.Join(dir, "config.json")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ReadConfig(dir)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a FIFO was accepted")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a FIFO stalls")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`{"ociVersion":"1.3.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if spec, err := ReadConfig(dir); err != nil || spec.Version != "1.3.0" {
		t.Errorf("%+v, %v", spec, err)
	}
}

// A pipe whose writer is slow is read to its end.
func TestReadProcessFromPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		defer w.Close()
		for _, part := range []string{`{"cwd":`, `"/x"}`} {
			time.Sleep(20 * time.Millisecond)
			if _, err := w.WriteString(part); err != nil {
				t.Error(err)
			}
		}
	}()
	p, err := ReadProcess("/proc/self/fd/" + id(uint32(r.Fd())))
	if err != nil || p.Cwd != "/x" {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"default", "docker", "podman", "rootless", "everything"} {
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, small := range []string{
		`{"a":"\u0000"}`, `{"process":{"user":{"uid":1},"args":[],"env":null}}`, `{"linux":{"devices":[{"major":-1,"fileMode":7}]}}`,
		`{"annotations":{"a":"b"},"mounts":[{"options":["\ud83d\ude00"]},null]}`, `{"linux":{"resources":{"cpu":{"shares":18446744073709551615}}}}`,
	} {
		f.Add([]byte(small))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := Decode(data)
		if err == nil {
			sameAsEncodingJSON(t, data, spec)
		}
		if err != nil && (len(err.Error()) > 4096 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("error of %d bytes: %.200q", len(err.Error()), err)
		}
	})
}

// sameAsEncodingJSON compares the readers. On what was read and written again,
// because for encoding/json the case of a property's name does not count.
func sameAsEncodingJSON(t *testing.T, data []byte, spec *specs.Spec) {
	if !json.Valid(data) {
		t.Error("accepted what is not JSON")
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	theirs := new(specs.Spec)
	if err := json.Unmarshal(data, theirs); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, theirs) {
		t.Errorf("got  %+v\nwant %+v", again, theirs)
	}
}

// FuzzNew puts one foreign value in the place of another in a config: bytes
// alone would seldom be more than a syntax error.
func FuzzNew(f *testing.F) {
	seeds := []string{"default", "docker", "podman", "rootless", "everything"}
	var texts [][]byte
	for i, name := range seeds {
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		texts = append(texts, data)
		f.Add(uint8(i), uint16(0), []byte(`"1.3.0"`), uint8(0))
	}
	f.Add(uint8(4), uint16(17), []byte(`{"type":"a","path":"/x","size":-1}`), uint8(31))
	f.Fuzz(func(t *testing.T, seed uint8, place uint16, value []byte, bits uint8) {
		var config any
		if err := json.Unmarshal(texts[int(seed)%len(texts)], &config); err != nil {
			t.Fatal(err)
		}
		var foreign any
		if json.Unmarshal(value, &foreign) != nil {
			foreign = string(value)
		}
		left := int(place)
		data, err := json.Marshal(replace(config, foreign, &left))
		if err != nil {
			t.Fatal(err)
		}
		spec, err := Decode(data)
		if err != nil {
			return
		}
		facts := host.Facts{EUID: int(bits & 1), UserNamespace: bits&2 != 0, AppArmor: bits&4 != 0, SELinux: bits&8 != 0, LastCap: 40, Bounding: 1<<41 - 1}
		options := testOptions()
		options.NoPivot = bits&16 != 0
		p, warnings, err := New(spec, facts, options)
		if len(warnings) > maxViolations {
			t.Errorf("%d warnings", len(warnings))
		}
		if err != nil {
			checkError(t, err)
			return
		}
		if strings.Contains(p.Cgroup.Path, "/../") || p.Cgroup.Path == "/" {
			t.Errorf("cgroup %q", p.Cgroup.Path)
		}
		_, _, err = Exec(p, &specs.Process{Args: []string{"x"}, Cwd: "/"}, facts, ExecOptions{AddCaps: []string{"CAP_KILL"}})
		checkError(t, err)
	})
}

// replace changes the value that comes after left others, in a fixed order.
func replace(in, foreign any, left *int) any {
	*left--
	if *left < 0 {
		return in
	}
	if *left == 0 {
		return foreign
	}
	switch in := in.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(in)) {
			in[key] = replace(in[key], foreign, left)
		}
	case []any:
		for i := range in {
			in[i] = replace(in[i], foreign, left)
		}
	}
	return in
}

func checkError(t *testing.T, err error) {
	if err == nil {
		return
	}
	var invalid Invalid
	if !errors.As(err, &invalid) || len(err.Error()) > 256<<10 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error of %d bytes: %.300q", len(err.Error()), err)
	}
}
