package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/registry"
)

// progress shows the transfer of blobs: as bars on a terminal, as a line for
// each finished one elsewhere.
type progress struct {
	w     io.Writer
	width int // columns of the terminal; 0: it is none

	mu    sync.Mutex
	rows  []registry.Progress
	index map[digest.Digest]int
	drawn int // rows on the terminal
	last  time.Time
}

// redraw is how often bars move: as fast as an eye follows.
const redraw = 80 * time.Millisecond

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, index: map[digest.Digest]int{}}
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			p.width = max(int(size.Col), 40)
		}
	}
	return p
}

// report may be called from many goroutines.
func (p *progress) report(now registry.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.index[now.Descriptor.Digest]
	if !ok {
		i = len(p.rows)
		p.index[now.Descriptor.Digest] = i
		p.rows = append(p.rows, now)
	}
	p.rows[i] = now
	switch {
	case p.width == 0 && now.Done:
		fmt.Fprintln(p.w, line(now))
	case p.width > 0 && (now.Done || time.Since(p.last) >= redraw):
		p.draw()
	}
}

func (p *progress) draw() {
	p.last = time.Now()
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, row := range p.rows {
		b.WriteString("\x1b[2K" + bar(row, p.width) + "\n")
	}
	p.drawn = len(p.rows)
	_, _ = io.WriteString(p.w, b.String()) // the transfer does not fail for want of a picture
}

func shortName(p registry.Progress) string {
	name := p.Descriptor.Digest.Encoded()
	return name[:min(len(name), 12)]
}

func line(p registry.Progress) string {
	what := "copied"
	if p.Kept {
		what = "exists"
	}
	return fmt.Sprintf("%s %s %s", shortName(p), what, humanSize(p.Descriptor.Size))
}

// bar is one row, no wider than the terminal.
func bar(p registry.Progress, width int) string {
	if p.Done {
		return line(p)
	}
	of := fmt.Sprintf("%s/%s", humanSize(p.Bytes), humanSize(p.Descriptor.Size))
	room := width - 12 - 24 - 5
	if room < 4 || p.Descriptor.Size <= 0 {
		return fmt.Sprintf("%s %s", shortName(p), of)
	}
	full := int(int64(room) * min(p.Bytes, p.Descriptor.Size) / p.Descriptor.Size)
	return fmt.Sprintf("%s [%s%s] %s", shortName(p), strings.Repeat("=", full), strings.Repeat(" ", room-full), of)
}
