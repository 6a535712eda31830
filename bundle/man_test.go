package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

var update = flag.Bool("update", false, "rewrite the OPTIONS of the manual pages")

// roffOptions renders options as the section of a manual page.
func roffOptions(flags []cli.Flag) string {
	var b strings.Builder
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		doc := f.(cli.DocGenerationFlag)
		var names []string
		for _, name := range f.Names() {
			dashes := "--"
			if len(name) == 1 {
				dashes = "-"
			}
			names = append(names, `\fB`+roff(dashes+name)+`\fR`)
		}
		b.WriteString(".TP\n" + strings.Join(names, ", "))
		usage := roff(doc.GetUsage())
		if parts := strings.SplitN(usage, "`", 3); len(parts) == 3 {
			italic := `\fI` + parts[1] + `\fR`
			b.WriteString(" " + italic)
			usage = parts[0] + italic + parts[2]
		}
		if value := doc.GetValue(); doc.TakesValue() && value != "" && value != "[]" {
			usage += " (default: " + roff(value) + ")"
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

// manualPages are the commands by the name of their page.
func manualPages(name string, command *cli.Command, pages map[string]*cli.Command) {
	pages[name] = command
	for _, child := range command.Commands {
		if !child.Hidden {
			manualPages(name+"-"+child.Name, child, pages)
		}
	}
}

func TestManualPagesHaveEveryOption(t *testing.T) {
	pages := map[string]*cli.Command{}
	manualPages("hako-bundle", rootCommand(nil, io.Discard, io.Discard), pages)
	help := &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help"}
	for name, command := range pages {
		file := filepath.Join("..", "docs", "man", name+".1")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		want, ok := replaceSection(string(data), "OPTIONS", roffOptions(append(command.Flags, help)))
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
			t.Errorf("%s: OPTIONS differs from the command table; go test -run Manual ./bundle -update", file)
		}
		if !strings.Contains(want, "\n"+roff(name)+` \- `+roff(command.Usage)+"\n") {
			t.Errorf(`%s: NAME is not "%s \- %s"`, file, roff(name), roff(command.Usage))
		}
	}
	files, _ := filepath.Glob("../docs/man/hako-bundle*.1")
	for _, file := range files {
		if _, ok := pages[strings.TrimSuffix(filepath.Base(file), ".1")]; !ok {
			t.Errorf("%s describes no command", file)
		}
	}
}
