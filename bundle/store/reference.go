package store

import (
	"errors"
	"fmt"
	"strings"
)

// defaultTag is the tag meant by a reference that names none.
const defaultTag = "latest"

// Reference names an image in a layout: PATH[:TAG], as --image takes it.
type Reference struct {
	Path string // of the layout's directory; never empty, never with ':'
	Tag  string // value of org.opencontainers.image.ref.name
}

// ParseReference splits PATH[:TAG] at the first colon; TAG is "latest" when
// there is no colon. It touches no file.
func ParseReference(s string) (Reference, error) {
	path, tag, found := strings.Cut(s, ":")
	if !found {
		tag = defaultTag
	}
	if path == "" {
		return Reference{}, fmt.Errorf("image %q: path is empty, want PATH[:TAG]", s)
	}
	if strings.ContainsRune(path, 0) {
		return Reference{}, fmt.Errorf("image %q: NUL in path", s)
	}
	if err := CheckTag(tag); err != nil {
		return Reference{}, fmt.Errorf("image %q: %w", s, err)
	}
	return Reference{Path: path, Tag: tag}, nil
}

// CheckTag reports whether tag follows the grammar that image-spec gives for
// org.opencontainers.image.ref.name (annotations.md):
//
//	ref       ::= component ("/" component)*
//	component ::= alphanum (separator alphanum)*
//	alphanum  ::= [A-Za-z0-9]+
//	separator ::= [-._:@+] | "--"
func CheckTag(tag string) error {
	if tag == "" {
		return errors.New("tag is empty")
	}
	for component := range strings.SplitSeq(tag, "/") {
		if !validComponent(component) {
			return fmt.Errorf("invalid tag %q: letters and digits, joined by one of - . _ : @ + / or by --", tag)
		}
	}
	return nil
}

func validComponent(s string) bool {
	for {
		n := alphanumPrefix(s)
		if n == 0 {
			return false
		}
		if s = s[n:]; s == "" {
			return true
		}
		switch {
		case strings.HasPrefix(s, "--"):
			s = s[2:]
		case strings.IndexByte("-._:@+", s[0]) >= 0:
			s = s[1:]
		default:
			return false
		}
	}
}

func alphanumPrefix(s string) int {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}
