package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/store"
)

func logCommand() *cli.Command {
	return &cli.Command{
		Usage:     "shows the history of an image, newest first",
		ArgsUsage: "IMAGE",
		Flags:     []cli.Flag{formatFlag(), platformFlag()},
		Action:    logAction,
	}
}

// imageLog is what log knows.
type imageLog struct {
	Tag      string          `json:"tag"`
	Manifest v1.Descriptor   `json:"manifest"`
	History  []historyLayer  `json:"history"`  // newest first
	Previous []v1.Descriptor `json:"previous"` // what the tag named before, newest first
}

func logAction(_ context.Context, cmd *cli.Command) error {
	isJSON, err := checkFormat(cmd)
	if err != nil {
		return err
	}
	args, err := positionals(cmd, "image")
	if err != nil {
		return err
	}
	ref, err := store.ParseReference(args[0])
	if err != nil {
		return err
	}
	layout, err := store.Open(ref.Path)
	if err != nil {
		return err
	}
	stat, err := statImage(layout, ref.Tag, cmd.String("platform"))
	if err != nil {
		return err
	}
	l := imageLog{Tag: ref.Tag, Manifest: stat.Manifest.Descriptor, History: slices.Clone(stat.History)}
	slices.Reverse(l.History)
	if l.Previous, err = layout.Previous(ref.Tag); err != nil {
		return err
	}
	out := bufio.NewWriter(cmd.Root().Writer)
	if isJSON {
		err = json.NewEncoder(out).Encode(l)
	} else {
		err = l.print(out)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func (l *imageLog) print(w io.Writer) error {
	p := printer{w: w}
	p.line(0, "image %s (%s)", l.Manifest.Digest, l.Tag)
	for _, h := range l.History {
		p.line(0, "")
		if h.Layer != nil {
			p.line(0, "layer %s %s", quoteIfNeeded(string(h.Layer.Digest)), humanSize(h.Layer.Size))
		} else {
			p.line(0, "no layer")
		}
		p.value(0, "Author", h.Author)
		if h.Created != nil {
			p.line(0, "Date: %s", h.Created.Format(time.RFC3339Nano))
		}
		p.value(0, "By", h.CreatedBy)
		if h.Comment != "" {
			p.line(0, "")
			for line := range strings.SplitSeq(h.Comment, "\n") {
				p.line(0, "    %s", quoteIfNeeded(line))
			}
		}
	}
	if len(l.Previous) > 0 {
		p.line(0, "")
		p.line(0, "before (bundle rollback IMAGE N):")
	}
	for i, d := range l.Previous {
		p.line(0, "%4d  %s", i+1, fmt.Sprint(d.Digest))
	}
	return p.err
}
