package tests

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The Makefile takes the version of a release from version.go.
func TestProgramsAndChangelogHaveOneVersion(t *testing.T) {
	constant := regexp.MustCompile(`(?m)^const version = "([0-9]+\.[0-9]+\.[0-9]+)"$`)
	version := func(name string) string {
		m := constant.FindStringSubmatch(read(t, name))
		if m == nil {
			t.Fatalf("%s: no version constant", name)
		}
		return m[1]
	}
	hako := version("../version.go")
	if bundle := version("../bundle/version.go"); bundle != hako {
		t.Errorf("bundle has version %s, hako %s", bundle, hako)
	}
	if !strings.Contains(read(t, "../CHANGELOG.md"), hako) {
		t.Errorf("CHANGELOG.md does not mention %s", hako)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
