package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// roffOptions renders options as the section of a manual page.
func roffOptions(flags []cli.Flag) string {
	var b strings.Builder
	for _, f := range visible(flags) {
		d := describe(f)
		b.WriteString(".TP\n\\fB" + strings.ReplaceAll(roff(strings.Join(d.names, ", ")), ", ", `\fR, \fB`) + `\fR`)
		remarks := roff(d.remarks())
		if d.placeholder != "" {
			italic := `\fI` + roff(d.placeholder) + `\fR`
			b.WriteString(" " + italic)
			remarks = strings.Replace(remarks, roff(d.placeholder), italic, 1)
		}
		b.WriteString("\n" + remarks + "\n")
	}
	return b.String()
}

// roff quotes text.
func roff(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
}

// replaceSection replaces the text below a heading of a manual page.
func replaceSection(page, heading, text string) (string, bool) {
	before, rest, found := strings.Cut(page, ".SH "+heading+"\n")
	_, after, more := strings.Cut(rest, ".SH ")
	if !found || !more {
		return "", false
	}
	return before + ".SH " + heading + "\n" + text + ".SH " + after, true
}

func TestManualPagesHaveEveryOption(t *testing.T) {
	pages := map[string][]cli.Flag{"hako": append(globalFlags(), versionFlag(), helpFlag())}
	usage := map[string]string{"hako": new(app).root(nil).Usage}
	for _, e := range new(app).commands() {
		c := command(t, e.name)
		pages["hako-"+e.name] = append(c.Flags, helpFlag())
		usage["hako-"+e.name] = c.Usage
	}
	for name, flags := range pages {
		file := filepath.Join("docs", "man", name+".8")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		want, ok := replaceSection(string(data), "OPTIONS", roffOptions(flags))
		if !ok {
			t.Errorf("%s: no OPTIONS section with another one behind", file)
			continue
		}
		if want != string(data) {
			if *update {
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Error(err)
				}
				continue
			}
			t.Errorf("%s: OPTIONS differs from the command table; go test -run Manual . -update", file)
		}
		if u := usage[name]; !strings.Contains(want, "\n"+roff(name)+` \- `+roff(u)+"\n") {
			t.Errorf(`%s: NAME is not "%s"`, file, u)
		}
		if name != "hako" && !strings.Contains(string(mustRead(t, "docs/man/hako.8")), ".BR "+roff(name)+" (8)\n"+roff(usage[name])+"\n") {
			t.Errorf("hako.8 does not list %s with its usage", name)
		}
	}
	files, _ := filepath.Glob("docs/man/hako*.8")
	for _, file := range files {
		if _, ok := pages[strings.TrimSuffix(filepath.Base(file), ".8")]; !ok {
			t.Errorf("%s describes no command", file)
		}
	}
}

// mustRead reads a file of the repository.
func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
