package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas loads the files of a directory.
type schemas string

// Load corrects references like "defs.json#definitions/uint32", which are
// JSON pointers without their slash.
func (dir schemas) Load(url string) (any, error) {
	data, err := os.ReadFile(filepath.Join(string(dir), strings.TrimPrefix(url, "schema:///")))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(strings.NewReader(strings.ReplaceAll(string(data), "#definitions", "#/definitions")))
}

// validate checks a JSON document against a schema of the runtime specification.
func validate(t *testing.T, schemaFile string, document []byte) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4) // not every file says so
	compiler.UseLoader(schemas(filepath.Join(strings.TrimSpace(string(dir)), "schema")))
	schema, err := compiler.Compile("schema:///" + schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s: %v", schemaFile, err)
	}
}

func TestSpecFollowsTheSchema(t *testing.T) {
	for _, args := range [][]string{{"spec"}, {"spec", "--rootless"}} {
		dir := t.TempDir()
		if _, stderr, code := hako(append(args, "--bundle", dir)...); code != 0 {
			t.Fatal(stderr)
		}
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		validate(t, "config-schema.json", data)
	}
}

func TestSpecDoesNotTouchAnExistingFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := hako("spec", "-b", dir)
	if code != 1 || stderr != "hako spec: "+file+" exists already; remove it first\n" {
		t.Errorf("%d %q", code, stderr)
	}
	if data, _ := os.ReadFile(file); string(data) != "mine" {
		t.Errorf("%q", data)
	}
}

// types lists the namespaces of a specification.
func types(s *specs.Spec) (list []string) {
	for _, n := range s.Linux.Namespaces {
		list = append(list, string(n.Type))
	}
	return list
}

func TestSpecNamespaces(t *testing.T) {
	if got := types(defaultSpec(false)); !slices.Equal(got, []string{"pid", "network", "ipc", "uts", "mount"}) {
		t.Errorf("cgroup v1: %v", got)
	}
	s := defaultSpec(true)
	if got := types(s); !slices.Equal(got, []string{"pid", "network", "ipc", "uts", "mount", "cgroup"}) {
		t.Errorf("cgroup v2: %v", got)
	}
	makeRootless(s, 1000, 100)
	if got := types(s); !slices.Equal(got, []string{"user", "pid", "ipc", "uts", "mount", "cgroup"}) {
		t.Errorf("rootless: %v", got)
	}
	if m := s.Linux.GIDMappings; len(m) != 1 || m[0].HostID != 100 || m[0].ContainerID != 0 || m[0].Size != 1 {
		t.Errorf("rootless: %v", m)
	}
	data, _ := json.Marshal(s.Mounts)
	if strings.Contains(string(data), "gid=5") || s.Linux.Resources != nil {
		t.Errorf("rootless: %s", data)
	}
}
