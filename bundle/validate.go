package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/snapshot"
	"github.com/hako-runtime/hako/bundle/store"
)

func rawValidateCommand() *cli.Command {
	return &cli.Command{
		Usage:     "compares a directory with an mtree manifest",
		ArgsUsage: " ",
		Hidden:    true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "`MANIFEST` to compare with"},
			&cli.StringFlag{Name: "path", Aliases: []string{"p"}, Usage: "`DIRECTORY` to compare"},
			&cli.StringFlag{Name: "add-keywords", Aliases: []string{"K"}, Usage: "compare these `KEYWORDS` too"},
			&cli.StringFlag{Name: "use-keywords", Aliases: []string{"k"}, Usage: "compare only these `KEYWORDS`, and the type"},
			&cli.BoolFlag{Name: "umoci-keywords", Usage: "compare the keywords of umoci's manifests"},
			&cli.BoolFlag{Name: "rootless", Usage: "make what cannot be read readable for a moment"},
		},
		Action: rawValidate,
	}
}

func rawValidate(_ context.Context, cmd *cli.Command) error {
	if _, err := positionals(cmd); err != nil {
		return err
	}
	for _, flag := range []string{"file", "path"} {
		if cmd.String(flag) == "" {
			return errors.New("missing mandatory argument: --" + flag)
		}
	}
	f, err := store.OpenRegular(cmd.String("file"))
	if err != nil {
		return err
	}
	defer f.Close()
	manifest, err := snapshot.ParseManifest(f)
	if err != nil {
		return err
	}
	words, err := validateKeywords(cmd, manifest)
	if err != nil {
		return err
	}
	different := 0
	err = snapshot.Validate(cmd.String("path"), manifest, words, snapshot.Options{Rootless: cmd.Bool("rootless")}, func(line string) {
		different++
		fmt.Fprintln(cmd.Root().Writer, line)
	})
	if err == nil && different > 0 {
		err = fmt.Errorf("%s: %d differences to the manifest", cmd.String("path"), different)
	}
	return err
}

// validateKeywords are those to compare: the manifest's, unless others are
// asked for; and always the type.
func validateKeywords(cmd *cli.Command, manifest *snapshot.Manifest) ([]string, error) {
	words := []string{"type"}
	var asked []string
	split := func(list string) []string {
		return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' })
	}
	switch {
	case cmd.IsSet("use-keywords"):
		asked = split(cmd.String("use-keywords"))
	case cmd.Bool("umoci-keywords") || len(manifest.Keywords) == 0:
		asked = snapshot.UmociKeywords()
	default:
		asked = slices.Clone(manifest.Keywords)
	}
	for _, word := range append(asked, split(cmd.String("add-keywords"))...) {
		known, ok := snapshot.CanonicalKeyword(word)
		if !ok {
			return nil, fmt.Errorf("keyword %q is not known", word)
		}
		words = append(words, known)
	}
	return words, nil
}
