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
	for _, f := range flags {
		doc := f.(interface {
			cli.DocGenerationFlag
			cli.VisibleFlag
		})
		if !doc.IsVisible() {
			continue
		}
		usage := doc.GetUsage()
		placeholder := ""
		if parts := strings.Split(usage, "`"); len(parts) == 3 {
			placeholder = parts[1]
			usage = roff(parts[0]) + `\fI` + roff(placeholder) + `\fR` + roff(parts[2])
		} else {
			usage = roff(usage)
		}
		b.WriteString(".TP\n")
		for i, name := range f.Names() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(`\fB` + roff(hyphens(name)) + `\fR`)
			if placeholder != "" {
				b.WriteString(` \fI` + roff(placeholder) + `\fR`)
			}
		}
		if d := doc.GetDefaultText(); d != "" {
			usage += " (default: " + roff(strings.Trim(d, `"`)) + ")"
		} else if v := doc.GetValue(); doc.TakesValue() && v != "" {
			usage += " (default: " + roff(v) + ")"
		}
		b.WriteString("\n" + usage + "\n")
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

// helpFlag is what the parser adds to every command.
func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help"}
}

func TestManualPagesHaveEveryOption(t *testing.T) {
	versionFlag := &cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"}
	pages := map[string][]cli.Flag{"hako": append(globalFlags(), versionFlag, helpFlag())}
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
