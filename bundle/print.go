package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// printer writes what stat shows to people, and remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(depth int, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, strings.Repeat("\t", depth)+format+"\n", args...)
	}
}

func (p *printer) section(name string) { p.line(0, "== %s ==", name) }

// value prints "name: value" unless the value is empty.
func (p *printer) value(depth int, name, value string) {
	if value != "" {
		p.line(depth, "%s: %s", name, quoteIfNeeded(value))
	}
}

// always prints "name: value", and makes the bounds of the value visible.
func (p *printer) always(depth int, name, value string) {
	p.line(depth, "%s: %s", name, pprint(value))
}

// quoteIfNeeded keeps an image from drawing on the terminal.
func quoteIfNeeded(s string) string {
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

func pprint(s string) string {
	if s == "" || strings.ContainsAny(s, ", \t\n\r\v\f") {
		return strconv.Quote(s)
	}
	return quoteIfNeeded(s)
}

func pprintSet[V any](set map[string]V) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		all = append(all, pprint(key))
	}
	return strings.Join(all, ", ")
}

func (p *printer) pairs(depth int, name string, pairs map[string]string) {
	if len(pairs) == 0 {
		return
	}
	p.line(depth, "%s:", name)
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		p.line(depth+1, "%s: %s", pprint(key), pprint(pairs[key]))
	}
}

func (p *printer) list(depth int, name string, values []string) {
	p.line(depth, "%s:", name)
	if len(values) == 0 {
		p.line(depth+1, "(empty)")
	}
	for _, value := range values {
		p.line(depth+1, "%s", pprint(value))
	}
}

func (p *printer) manifest(m *v1.Manifest) {
	p.line(0, "Schema Version: %d", m.SchemaVersion)
	p.value(0, "Media Type", m.MediaType)
	p.value(0, "Artifact Type", m.ArtifactType)
	p.line(0, "Config:")
	p.descriptor(1, m.Config)
	if len(m.Layers) > 0 {
		p.line(0, "Layers:")
		for _, d := range m.Layers {
			p.descriptor(1, d)
		}
	}
	if m.Subject != nil {
		p.line(0, "Subject:")
		p.descriptor(1, *m.Subject)
	}
	p.pairs(0, "Annotations", m.Annotations)
}

func (p *printer) descriptor(depth int, d v1.Descriptor) {
	p.line(depth, "Descriptor:")
	depth++
	p.value(depth, "Media Type", d.MediaType)
	p.value(depth, "Artifact Type", d.ArtifactType)
	p.value(depth, "Digest", string(d.Digest))
	p.line(depth, "Size: %s", humanSize(d.Size))
	if d.Platform != nil {
		p.platform(depth, d.Platform)
	}
	if len(d.URLs) > 0 {
		p.list(depth, "URLs", d.URLs)
	}
	p.pairs(depth, "Annotations", d.Annotations)
	if len(d.Data) > 0 {
		p.line(depth, "Data: (%d bytes)", len(d.Data))
		p.dump(depth+1, d.Data)
	}
}

func (p *printer) platform(depth int, platform *v1.Platform) {
	p.line(depth, "Platform:")
	p.always(depth+1, "OS", platform.OS)
	p.value(depth+1, "OS Version", platform.OSVersion)
	if len(platform.OSFeatures) > 0 {
		p.line(depth+1, "OS Features: %s", strings.Join(platform.OSFeatures, ", "))
	}
	architecture := pprint(platform.Architecture)
	if platform.Variant != "" {
		architecture += " (" + quoteIfNeeded(platform.Variant) + ")"
	}
	p.line(depth+1, "Architecture: %s", architecture)
}

// dump prints data as xxd does, the first maxDump bytes.
func (p *printer) dump(depth int, data []byte) {
	const maxDump, row = 256, 16
	shown := data[:min(len(data), maxDump)]
	for at := 0; at < len(shown); at += row {
		part := shown[at:min(len(shown), at+row)]
		var groups, text strings.Builder
		for i, c := range part {
			if i > 0 && i%2 == 0 {
				groups.WriteByte(' ')
			}
			groups.WriteString(hex.EncodeToString([]byte{c}))
			if c < ' ' || c > '~' {
				c = '.'
			}
			text.WriteByte(c)
		}
		const width = row*2 + row/2 - 1
		p.line(depth, "%.4x: %-*s  %s", at, width, groups.String(), text.String())
	}
	if rest := len(data) - len(shown); rest > 0 {
		p.line(depth, "....  (extra %d bytes omitted)", rest)
	}
}

func (p *printer) config(c *v1.Image) {
	if c.Created != nil {
		p.value(0, "Created", c.Created.Format(time.RFC3339Nano))
	}
	p.always(0, "Author", c.Author)
	p.platform(0, &c.Platform)
	p.line(0, "Image Config:")
	p.always(1, "User", c.Config.User)
	if len(c.Config.Entrypoint) > 0 {
		p.list(1, "Entrypoint", c.Config.Entrypoint)
	}
	p.list(1, "Command", c.Config.Cmd)
	if c.Config.WorkingDir != "" {
		p.always(1, "Working Directory", c.Config.WorkingDir)
	}
	if len(c.Config.Env) > 0 {
		p.list(1, "Environment", c.Config.Env)
	}
	if c.Config.StopSignal != "" {
		p.always(1, "Stop Signal", c.Config.StopSignal)
	}
	if len(c.Config.ExposedPorts) > 0 {
		p.line(1, "Exposed Ports: %s", pprintSet(c.Config.ExposedPorts))
	}
	if len(c.Config.Volumes) > 0 {
		p.line(1, "Volumes: %s", pprintSet(c.Config.Volumes))
	}
	p.pairs(1, "Labels", c.Config.Labels)
}

// history prints a table with umoci's columns.
func (p *printer) history(entries []historyLayer) {
	t := tabwriter.NewWriter(p.w, 4, 2, 1, ' ', 0)
	fmt.Fprintf(t, "LAYER\tCREATED\tCREATED BY\tSIZE\tCOMMENT\n")
	for _, h := range entries {
		digest, size, created := "<none>", "<none>", ""
		if h.Layer != nil {
			digest, size = quoteIfNeeded(string(h.Layer.Digest)), humanSize(h.Layer.Size)
		}
		if h.Created != nil {
			created = h.Created.Format(time.RFC3339Nano)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", digest, created, quoteIfNeeded(h.CreatedBy), size, quoteIfNeeded(h.Comment))
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}

// humanSize has four significant digits and a decimal unit.
func humanSize(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	size, unit := float64(bytes), 0
	for size >= 1000 && unit < len(units)-1 {
		size /= 1000
		unit++
	}
	return fmt.Sprintf("%.4g%s", size, units[unit])
}
