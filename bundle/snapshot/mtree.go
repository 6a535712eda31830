package snapshot

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
)

// keywords are those of umoci's manifests, in the order of a line.
const keywords = "size,type,uid,gid,mode,link,nlink,tar_time,sha256digest,xattr"

// Values that a line leaves out: those that /set gives.
const (
	setType  = "file"
	setNlink = 1
	setMode  = 0o664
)

// manifestWriter writes mtree(5) the way gomtree does. There is no date in
// it: the same tree gives the same manifest.
type manifestWriter struct {
	out      *bufio.Writer
	line     []byte
	begun    bool
	uid, gid uint32 // of the last /set
}

func newManifestWriter(out *bufio.Writer) *manifestWriter { return &manifestWriter{out: out} }

func (m *manifestWriter) write(e *Entry) error {
	m.line = m.line[:0]
	if e.Type == "dir" {
		m.beginDir(e)
	} else {
		m.line = append(m.line, "    "...)
	}
	m.line = appendVis(m.line, nameOf(e.Path))
	m.number("size", e.Size, 10)
	if e.Type != setType {
		m.line = append(append(m.line, " type="...), e.Type...)
	}
	if e.UID != m.uid {
		m.number("uid", int64(e.UID), 10)
	}
	if e.GID != m.gid {
		m.number("gid", int64(e.GID), 10)
	}
	if e.Mode != setMode {
		m.line = append(append(m.line, " mode="...), octal(e.Mode)...)
	}
	if e.Type == "link" {
		m.line = appendVis(append(m.line, " link="...), e.Link)
	}
	if e.Nlink != setNlink {
		m.number("nlink", int64(e.Nlink), 10)
	}
	m.number("tar_time", e.MTime, 10)
	m.line = append(m.line, ".000000000"...)
	if e.Sum != nil {
		m.line = hex.AppendEncode(append(m.line, " sha256digest="...), e.Sum[:])
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		m.line = append(appendVis(append(m.line, " xattr."...), name), '=')
		m.line = base64.StdEncoding.AppendEncode(m.line, []byte(e.Xattrs[name]))
	}
	m.line = append(m.line, '\n')
	_, err := m.out.Write(m.line)
	return err
}

func (m *manifestWriter) beginDir(e *Entry) {
	if !m.begun {
		m.line = append(m.line, "#          tree: rootfs\n#      keywords: "+keywords+"\n"...)
	}
	m.line = appendVis(append(m.line, "\n# "...), pathOf(e.Path))
	m.line = append(m.line, '\n')
	if !m.begun || e.UID != m.uid || e.GID != m.gid {
		m.begun, m.uid, m.gid = true, e.UID, e.GID
		m.line = append(m.line, "/set type=file nlink=1 mode=0664"...)
		m.number("uid", int64(e.UID), 10)
		m.number("gid", int64(e.GID), 10)
		m.line = append(m.line, '\n')
	}
}

func (m *manifestWriter) leave() error {
	_, err := m.out.WriteString("..\n")
	return err
}

func (m *manifestWriter) number(keyword string, value int64, base int) {
	m.line = append(append(append(m.line, ' '), keyword...), '=')
	m.line = strconv.AppendInt(m.line, value, base)
}

// octal is %#o: with a leading 0, as gomtree writes modes.
func octal(mode uint32) string {
	if mode == 0 {
		return "0"
	}
	return "0" + strconv.FormatUint(uint64(mode), 8)
}

func nameOf(path string) string {
	if path == "" {
		return "."
	}
	return baseOf(path)
}

func pathOf(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// appendVis encodes a name as vis(3) does with VIS_OCTAL, VIS_GLOB and
// VIS_WHITE.
func appendVis(line []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7f, c == '\\', c == '*', c == '?', c == '[', c == '#':
			line = append(line, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			line = append(line, c)
		}
	}
	return line
}
