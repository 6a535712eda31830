package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
	"github.com/hako-runtime/hako/libct/idmap"
)

func imageFlag() cli.Flag {
	return &cli.StringFlag{Name: "image", Usage: "`PATH[:TAG]` of the image; TAG is latest if not given"}
}

func layoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "layout", Usage: "`PATH` of the image layout"}
}

func newTagFlag() cli.Flag {
	return &cli.StringFlag{Name: "tag", Usage: "`TAG` of the new image, instead of the one in --image"}
}

func platformFlag() cli.Flag {
	return &cli.StringFlag{Name: "platform", Usage: "take the image for `OS/ARCH[/VARIANT]` of a multi-platform index; this machine's if not given"}
}

func compressFlag() cli.Flag {
	return &cli.StringFlag{Name: "compress", Value: "auto", Usage: "compress the new layer by `ALGORITHM`: gzip, zstd, none, or auto, that of the newest layer"}
}

func historyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "no-history", Usage: "do not add an entry to the image's history"},
		&cli.StringFlag{Name: "history.author", Usage: "`AUTHOR` of the entry in the history"},
		&cli.StringFlag{Name: "history.comment", Usage: "`COMMENT` of the entry in the history"},
		&cli.StringFlag{Name: "history.created", Usage: "`TIME` (RFC 3339) of the entry in the history"},
		&cli.StringFlag{Name: "history.created_by", Usage: "`COMMAND` in the entry of the history"},
	}
}

func mapFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "rootless", Usage: "do without root: owners are kept in extended attributes"},
		&cli.StringSliceFlag{Name: "uid-map", Usage: "`CONTAINER:HOST[:SIZE]` maps user ids; may be given more than once"},
		&cli.StringSliceFlag{Name: "gid-map", Usage: "`CONTAINER:HOST[:SIZE]` maps group ids; may be given more than once"},
	}
}

// reference returns what --image says.
func reference(cmd *cli.Command) (store.Reference, error) {
	if !cmd.IsSet("image") {
		return store.Reference{}, errors.New("missing mandatory argument: --image")
	}
	return store.ParseReference(cmd.String("image"))
}

func layoutPath(cmd *cli.Command) (string, error) {
	if !cmd.IsSet("layout") {
		return "", errors.New("missing mandatory argument: --layout")
	}
	return cmd.String("layout"), nil
}

// newTag returns --tag, or the tag of the image.
func newTag(cmd *cli.Command, ref store.Reference) (string, error) {
	if !cmd.IsSet("tag") {
		return ref.Tag, nil
	}
	tag := cmd.String("tag")
	return tag, store.CheckTag(tag)
}

// sourceDate is SOURCE_DATE_EPOCH, the time that reproducible builds run at;
// false if it is not set. See https://reproducible-builds.org/specs.
func sourceDate() (time.Time, bool, error) {
	value := os.Getenv("SOURCE_DATE_EPOCH")
	if value == "" {
		return time.Time{}, false, nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", value)
	}
	return time.Unix(seconds, 0).UTC(), true, nil
}

// now is the present, or what SOURCE_DATE_EPOCH says it is.
func now() (time.Time, error) {
	at, set, err := sourceDate()
	if err != nil || set {
		return at, err
	}
	return time.Now().UTC(), nil
}

// historyEntry makes the entry that the flags ask for; nil with --no-history.
func historyEntry(cmd *cli.Command, createdBy, author string) (*v1.History, error) {
	entry := &v1.History{CreatedBy: createdBy, Author: author}
	given := ""
	for flag, field := range map[string]*string{
		"history.author": &entry.Author, "history.comment": &entry.Comment, "history.created_by": &entry.CreatedBy,
	} {
		if cmd.IsSet(flag) {
			*field, given = cmd.String(flag), flag
		}
	}
	created, err := now()
	if err != nil {
		return nil, err
	}
	if cmd.IsSet("history.created") {
		given = "history.created"
		if created, err = parseTime(given, cmd.String(given)); err != nil {
			return nil, err
		}
	}
	entry.Created = &created
	if !cmd.Bool("no-history") {
		return entry, nil
	}
	if given != "" {
		return nil, fmt.Errorf("--no-history and --%s exclude each other", given)
	}
	return nil, nil
}

func parseTime(flag, value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("--%s %q: want a time as in RFC 3339", flag, value)
	}
	return at, nil
}

// layerHistory is historyEntry for commands that add a layer, which other
// tools expect to find in the history.
func layerHistory(cmd *cli.Command, createdBy, author string) (*v1.History, error) {
	entry, err := historyEntry(cmd, createdBy, author)
	if err == nil && entry == nil {
		warner(cmd)("a layer without an entry in the history: other tools may not understand the image")
	}
	return entry, err
}

// compression is what --compress asks for; layer.Unknown is auto.
func compression(cmd *cli.Command) (layer.Compression, error) {
	switch name := cmd.String("compress"); name {
	case "auto":
		return layer.Unknown, nil
	case "gzip":
		return layer.Gzip, nil
	case "zstd":
		return layer.Zstd, nil
	case "none":
		return layer.None, nil
	default:
		return layer.Unknown, fmt.Errorf("--compress %q: want auto, gzip, zstd or none", name)
	}
}

func chooseCompression(asked layer.Compression, e *image.Edit) layer.Compression {
	if asked == layer.Unknown {
		return e.Compression()
	}
	return asked
}

// mapOptions are --rootless, --uid-map and --gid-map, as umoci.json keeps
// them.
func mapOptions(cmd *cli.Command) (metaMaps, error) {
	var maps metaMaps
	var err error
	if maps.UIDMappings, err = parseMaps("uid-map", cmd.StringSlice("uid-map")); err != nil {
		return metaMaps{}, err
	}
	if maps.GIDMappings, err = parseMaps("gid-map", cmd.StringSlice("gid-map")); err != nil {
		return metaMaps{}, err
	}
	if maps.Rootless = cmd.Bool("rootless"); !maps.Rootless {
		return maps, nil
	}
	if len(maps.UIDMappings) == 0 {
		maps.UIDMappings = []idmap.Map{{HostID: uint32(os.Geteuid()), Size: 1}}
	}
	if len(maps.GIDMappings) == 0 {
		maps.GIDMappings = []idmap.Map{{HostID: uint32(os.Getegid()), Size: 1}}
	}
	return maps, nil
}

func parseMaps(flag string, values []string) ([]idmap.Map, error) {
	var maps []idmap.Map
	for _, value := range values {
		parts := strings.Split(value, ":")
		if len(parts) == 2 {
			parts = append(parts, "1")
		}
		var numbers [3]uint32
		valid := len(parts) == len(numbers)
		for i := 0; valid && i < len(numbers); i++ {
			n, err := strconv.ParseUint(parts[i], 10, 32)
			numbers[i], valid = uint32(n), err == nil && n < math.MaxUint32
		}
		if !valid || numbers[2] == 0 ||
			uint64(numbers[0])+uint64(numbers[2]) > math.MaxUint32 || uint64(numbers[1])+uint64(numbers[2]) > math.MaxUint32 {
			return nil, fmt.Errorf("--%s %q: want CONTAINER:HOST[:SIZE], all in 32 bits", flag, value)
		}
		maps = append(maps, idmap.Map{ContainerID: numbers[0], HostID: numbers[1], Size: numbers[2]})
	}
	return maps, nil
}

// editing is an image that a command changes.
type editing struct {
	*image.Edit
	writer *store.Writer
	tag    string // of the result
}

// edit opens the image of --image for a change that goes to --tag.
func edit(ctx context.Context, cmd *cli.Command) (*editing, error) {
	ref, err := reference(cmd)
	if err != nil {
		return nil, err
	}
	tag, err := newTag(cmd, ref)
	if err != nil {
		return nil, err
	}
	writer, err := openWriter(ctx, ref.Path)
	if err != nil {
		return nil, err
	}
	walk, err := writer.Resolve(ref.Tag)
	if err != nil {
		writer.Close()
		return nil, err
	}
	e, err := image.Begin(writer.Layout, walk)
	if err != nil {
		writer.Close()
		return nil, err
	}
	return &editing{e, writer, tag}, nil
}

// commit writes the image and moves the tag to it.
func (e *editing) commit() error {
	walk, err := e.Commit(e.writer)
	if err != nil {
		return err
	}
	return e.writer.SetTag(e.tag, walk[0])
}

func openWriter(ctx context.Context, path string) (*store.Writer, error) {
	layout, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	return layout.Write(ctx)
}
