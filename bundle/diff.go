package main

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/snapshot"
	"github.com/hako-runtime/hako/bundle/store"
)

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "text", Usage: "print `FORMAT`: text or json"}
}

func checkFormat(cmd *cli.Command) (isJSON bool, err error) {
	switch format := cmd.String("format"); format {
	case "text", "json":
		return format == "json", nil
	default:
		return false, fmt.Errorf("--format %q: want text or json", format)
	}
}

func diffCommand() *cli.Command {
	return &cli.Command{
		Usage:     "shows what changed in a bundle since it was unpacked, or between two images",
		ArgsUsage: "BUNDLE | IMAGE1 IMAGE2",
		Flags:     append([]cli.Flag{formatFlag(), platformFlag()}, maskFlags()...),
		Action:    diffAction,
	}
}

func diffAction(ctx context.Context, cmd *cli.Command) error {
	isJSON, err := checkFormat(cmd)
	if err != nil {
		return err
	}
	var deltas *snapshot.Deltas
	switch args := cmd.Args().Slice(); len(args) {
	case 1:
		deltas, err = diffBundle(ctx, cmd, args[0])
	case 2:
		deltas, err = diffImages(ctx, cmd, args[0], args[1])
	default:
		return fmt.Errorf("invalid number of positional arguments: expected <bundle> or <image1> <image2>, got %d", len(args))
	}
	if err != nil {
		return err
	}
	defer deltas.Close()
	out := bufio.NewWriter(cmd.Root().Writer)
	if isJSON {
		err = printDeltasJSON(out, deltas)
	} else {
		err = printDeltas(out, deltas)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// diffBundle leaves out what commit would, if the image is still to be had.
func diffBundle(ctx context.Context, cmd *cli.Command, path string) (*snapshot.Deltas, error) {
	b, err := openBundle(path, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer b.close()
	masked, err := b.masks(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return b.compare(ctx, cmd.Bool("paranoid"), masked, nil)
}

// printDeltas prints a line for each path: what happened, and what is there
// now, or was before it was deleted.
func printDeltas(w io.Writer, deltas *snapshot.Deltas) error {
	for d, err := range deltas.All() {
		if err != nil {
			return err
		}
		e := d.Now
		if e == nil {
			e = d.Was
		}
		target := ""
		if e.Link != "" {
			target = " -> " + quoteIfNeeded(e.Link)
		}
		_, err = fmt.Fprintf(w, "%c %s %5d:%-5d %8s %s%s\n", d.Kind, modeString(e), e.UID, e.GID, deltaSize(e), quoteIfNeeded("/"+d.Path), target)
		if err != nil {
			return err
		}
	}
	return nil
}

func deltaSize(e *snapshot.Entry) string {
	if e.Type != "file" {
		return "-"
	}
	return humanSize(e.Size)
}

// modeString is like that of ls(1).
func modeString(e *snapshot.Entry) string {
	types := map[string]byte{"file": '-', "dir": 'd', "link": 'l', "char": 'c', "block": 'b', "fifo": 'p', "socket": 's'}
	s := []byte("?rwxrwxrwx")
	if c, ok := types[e.Type]; ok {
		s[0] = c
	}
	for i := range 9 {
		if e.Mode&(1<<(8-i)) == 0 {
			s[1+i] = '-'
		}
	}
	for i, special := range []struct {
		bit  uint32
		char byte
	}{{0o4000, 's'}, {0o2000, 's'}, {0o1000, 't'}} {
		at := 3 + 3*i
		if e.Mode&special.bit == 0 {
			continue
		}
		if s[at] == '-' {
			special.char -= 'a' - 'A'
		}
		s[at] = special.char
	}
	return string(s)
}

// deltaJSON is a path in the output of diff --format json.
type deltaJSON struct {
	Kind string     `json:"kind"`
	Path string     `json:"path"`
	Was  *entryJSON `json:"was,omitempty"`
	Now  *entryJSON `json:"now,omitempty"`
}

type entryJSON struct {
	Type   string            `json:"type"`
	Mode   string            `json:"mode"`
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Size   int64             `json:"size"`
	MTime  int64             `json:"mtime"`
	Link   string            `json:"link,omitempty"`
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
}

func newEntryJSON(e *snapshot.Entry) *entryJSON {
	if e == nil {
		return nil
	}
	j := &entryJSON{Type: e.Type, Mode: fmt.Sprintf("%04o", e.Mode), UID: e.UID, GID: e.GID, Size: e.Size, MTime: e.MTime, Link: e.Link}
	for name, value := range e.Xattrs {
		if j.Xattrs == nil {
			j.Xattrs = map[string][]byte{}
		}
		j.Xattrs[name] = []byte(value)
	}
	return j
}

// printDeltasJSON prints a list, element by element: it may be long.
func printDeltasJSON(w io.Writer, deltas *snapshot.Deltas) error {
	separator := "["
	for d, err := range deltas.All() {
		if err != nil {
			return err
		}
		data, err := json.Marshal(deltaJSON{string(rune(d.Kind)), "/" + d.Path, newEntryJSON(d.Was), newEntryJSON(d.Now)})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, data); err != nil {
			return err
		}
		separator = ","
	}
	if separator == "[" {
		_, err := fmt.Fprintln(w, "[]")
		return err
	}
	_, err := fmt.Fprintln(w, "]")
	return err
}

// diffImages compares what two images would unpack to.
func diffImages(ctx context.Context, cmd *cli.Command, one, other string) (*snapshot.Deltas, error) {
	// Little of what is in memory while layers are read is garbage for long.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	deltas := snapshot.NewDeltas()
	for _, image := range []struct {
		name string
		add  func(*snapshot.Entry) error
	}{{one, deltas.Was}, {other, deltas.Now}} {
		if err := flatten(ctx, cmd, image.name, image.add); err != nil {
			deltas.Close()
			return nil, fmt.Errorf("%s: %w", image.name, err)
		}
	}
	return deltas, nil
}

// flatten adds what comes of the layers of an image.
func flatten(ctx context.Context, cmd *cli.Command, name string, add func(*snapshot.Entry) error) error {
	ref, err := store.ParseReference(name)
	if err != nil {
		return err
	}
	src, err := openSource(ctx, ref, cmd.String("platform"))
	if err != nil {
		return err
	}
	defer src.close()
	virtual := layer.NewVirtual(layer.Options{MaxEntries: defaultMaxEntries, MaxBytes: defaultMaxBytes})
	defer virtual.Close()
	if err := applyLayers(ctx, virtual, src); err != nil {
		return err
	}
	return virtual.Walk(func(path string, o *layer.Object) error { return add(entryOf(path, o)) })
}

// entryOf says what unpacking would make of an object.
func entryOf(path string, o *layer.Object) *snapshot.Entry {
	e := &snapshot.Entry{Path: path, UID: o.UID, GID: o.GID, Mode: o.Mode, MTime: o.Time, Xattrs: o.Xattrs}
	switch o.Type {
	case tar.TypeReg:
		sum := o.Sum
		e.Type, e.Size, e.Sum = "file", o.Size, &sum
	case tar.TypeDir:
		e.Type = "dir"
	case tar.TypeSymlink:
		e.Type, e.Link, e.Mode = "link", o.Link, 0o777
	case tar.TypeFifo:
		e.Type = "fifo"
	case tar.TypeChar:
		e.Type, e.Size = "char", int64(o.Major)<<20|int64(o.Minor)
	case tar.TypeBlock:
		e.Type, e.Size = "block", int64(o.Major)<<20|int64(o.Minor)
	}
	return e
}
