package snapshot

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strconv"
	"strings"
)

// Bounds of a manifest: it may come from anybody.
const (
	maxLine    = 4 << 20 // a path, a link and all extended attributes
	maxEntries = 16 << 20
)

// Manifest is a parsed mtree(5) file.
type Manifest struct {
	Entries  []Listed // in the order of the file
	Keywords []string // that entries have, as the header says; may be empty
	byPath   map[string]int
}

// Listed is an entry of a manifest. Its words are not looked at before they
// are needed: of most entries that is never.
type Listed struct {
	Path string
	line string            // behind the name
	set  map[string]string // what /set said; shared, never changed
}

// Words returns the values by keyword, those of /set included.
func (l *Listed) Words() map[string]string {
	words := maps.Clone(l.set)
	addWords(strings.Fields(l.line), words)
	return words
}

// ParseManifest reads an mtree(5) file as gomtree and umoci write it.
func ParseManifest(r io.Reader) (*Manifest, error) {
	m := &Manifest{byPath: map[string]int{}}
	p := newParser(func(l Listed) error {
		if _, twice := m.byPath[l.Path]; twice {
			return fmt.Errorf("%q is there twice", l.Path)
		}
		m.byPath[l.Path] = len(m.Entries)
		m.Entries = append(m.Entries, l)
		return nil
	})
	err := p.read(r)
	m.Keywords = p.keywords
	if err != nil {
		return nil, err
	}
	return m, nil
}

// parseManifest hands each entry to emit, whose error ends it.
func parseManifest(r io.Reader, emit func(Listed) error) error { return newParser(emit).read(r) }

// errStopped is what emit returns if it wants no more; it comes back as it is.
var errStopped = errors.New("stopped")

type parser struct {
	emit     func(Listed) error
	entries  int
	keywords []string
	set      map[string]string
	dir      []string // names on the way to the current directory
	inRoot   bool     // "." was seen
	prefix   string   // of a line that goes on
}

func newParser(emit func(Listed) error) *parser {
	return &parser{emit: emit, set: map[string]string{}}
}

func (p *parser) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for number := 1; lines.Scan(); number++ {
		err := p.line(lines.Text())
		if err == errStopped { //nolint:errorlint // our own, as it is
			return err
		}
		if err != nil {
			return fmt.Errorf("manifest: line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

func (p *parser) line(line string) error {
	if before, ok := strings.CutSuffix(line, `\`); ok && !strings.HasSuffix(before, `\`) {
		if p.prefix += before; len(p.prefix) > maxLine {
			return errors.New("too long")
		}
		return nil
	}
	line, p.prefix = p.prefix+line, ""
	line = strings.Trim(line, " \t\r")
	name, rest := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		name, rest = line[:i], line[i:]
	}
	switch {
	case name == "":
		return nil
	case strings.HasPrefix(name, "#"):
		if fields := strings.Fields(rest); len(fields) == 2 && fields[0] == "keywords:" {
			p.keywords = strings.Split(fields[1], ",")
		}
		return nil
	case name == "..":
		if len(p.dir) == 0 && !p.inRoot {
			return errors.New(".. without a directory")
		}
		if len(p.dir) > 0 {
			p.dir = p.dir[:len(p.dir)-1]
		}
		return nil
	case name == "/set":
		p.set = maps.Clone(p.set) // earlier entries keep theirs
		addWords(strings.Fields(rest), p.set)
		return nil
	case name == "/unset":
		p.set = maps.Clone(p.set)
		for _, keyword := range strings.Fields(rest) {
			delete(p.set, keyword)
		}
		return nil
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("unknown command %q", name)
	}
	return p.entry(name, rest)
}

func (p *parser) entry(encoded, rest string) error {
	name, err := unvis(encoded)
	if err != nil {
		return err
	}
	l := Listed{line: rest, set: p.set}
	full := path.Clean("/" + name)[1:]
	if !strings.Contains(name, "/") { // relative to the current directory
		if name == "" || name == ".." {
			return fmt.Errorf("name %q", name)
		}
		full = strings.Join(append(p.dir[:len(p.dir):len(p.dir)], name), "/")
		if name == "." {
			full = strings.Join(p.dir, "/")
		}
		if l.isDir() && name != "." {
			p.dir = append(p.dir, name)
		}
	}
	p.inRoot = p.inRoot || full == ""
	if p.entries++; p.entries > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	l.Path = full
	return p.emit(l)
}

// isDir is Words()["type"] == "dir", which every line has to answer.
func (l *Listed) isDir() bool {
	i := strings.LastIndex(l.line, " type=")
	if i < 0 {
		return l.set["type"] == "dir"
	}
	value, _, _ := strings.Cut(l.line[i+len(" type="):], " ")
	return value == "dir"
}

func addWords(fields []string, into map[string]string) {
	for _, field := range fields {
		keyword, value, ok := strings.Cut(field, "=")
		if !ok {
			keyword, value = field, "" // "optional", "nochange"
		}
		into[canonical(keyword)] = value
	}
}

// canonical is one name for keywords that have several.
func canonical(keyword string) string {
	switch keyword {
	case "md5", "sha1", "sha256", "sha512":
		return keyword + "digest"
	}
	if name, ok := strings.CutPrefix(keyword, "xattrs."); ok {
		return "xattr." + name
	}
	return keyword
}

// unvis decodes what vis(3) may have written.
func unvis(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	const letters, values = `abfnrstv0\`, "\a\b\f\n\r \t\v\x00\\"
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			continue
		}
		if i+3 < len(s) && isOctal(s[i+1:i+4]) {
			n, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
			if err != nil {
				return "", fmt.Errorf("name %q: bad escape", s)
			}
			out.WriteByte(byte(n))
			i += 3
			continue
		}
		i++
		at := -1
		if i < len(s) {
			at = strings.IndexByte(letters, s[i])
		}
		if at < 0 {
			return "", fmt.Errorf("name %q: bad escape", s)
		}
		out.WriteByte(values[at])
	}
	if strings.Contains(out.String(), "\x00") {
		return "", fmt.Errorf("name %q: NUL", s)
	}
	return out.String(), nil
}

func isOctal(s string) bool { return strings.Trim(s, "01234567") == "" }

// Lookup returns the entry of a path.
func (m *Manifest) Lookup(path string) (*Listed, bool) {
	i, ok := m.byPath[path]
	if !ok {
		return nil, false
	}
	return &m.Entries[i], true
}

// entry reads the words that umoci's manifests have. Missing ones are taken
// from now, so that they compare equal.
func (l *Listed) entry(now *Entry) (*Entry, error) {
	e := *now
	e.Path, e.Xattrs = l.Path, nil
	words := l.Words()
	bad := func(keyword string, err error) error {
		return fmt.Errorf("manifest: %s: %s=%q: %w", l.Path, keyword, words[keyword], err)
	}
	if t, ok := words["type"]; ok {
		e.Type = t
	}
	for keyword, set := range map[string]func(n int64){
		"size": func(n int64) { e.Size = n }, "uid": func(n int64) { e.UID = uint32(n) },
		"gid": func(n int64) { e.GID = uint32(n) }, "nlink": func(n int64) { e.Nlink = uint64(n) },
	} {
		if value, ok := words[keyword]; ok {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, bad(keyword, err)
			}
			set(n)
		}
	}
	if value, ok := words["mode"]; ok {
		n, err := strconv.ParseUint(value, 8, 32)
		if err != nil {
			return nil, bad("mode", err)
		}
		e.Mode = uint32(n)
	}
	for _, keyword := range []string{"tar_time", "time"} {
		if value, ok := words[keyword]; ok {
			seconds, _, _ := strings.Cut(value, ".")
			n, err := strconv.ParseInt(seconds, 10, 64)
			if err != nil {
				return nil, bad(keyword, err)
			}
			e.MTime = n
			break
		}
	}
	return &e, decode(words, &e, bad)
}

func decode(words map[string]string, e *Entry, bad func(string, error) error) (err error) {
	if value, ok := words["link"]; ok {
		if e.Link, err = unvis(value); err != nil {
			return bad("link", err)
		}
	}
	if value, ok := words["sha256digest"]; ok {
		sum, err := hex.DecodeString(value)
		if err != nil || len(sum) != sha256.Size {
			return bad("sha256digest", errors.New("no SHA-256"))
		}
		e.Sum = (*[sha256.Size]byte)(sum)
	}
	for keyword, value := range words {
		encoded, ok := strings.CutPrefix(keyword, "xattr.")
		if !ok {
			continue
		}
		name, err := unvis(encoded)
		if err != nil {
			return bad(keyword, err)
		}
		data, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return bad(keyword, err)
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = string(data)
	}
	return nil
}
