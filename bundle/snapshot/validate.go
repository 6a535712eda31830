package snapshot

import (
	"crypto/md5"  //nolint:gosec // a keyword of mtree(5)
	"crypto/sha1" //nolint:gosec // a keyword of mtree(5)
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// UmociKeywords are those of umoci's manifests.
func UmociKeywords() []string { return strings.Split(keywords, ",") }

// CanonicalKeyword returns the keyword by its usual name; false if it is not
// known.
func CanonicalKeyword(keyword string) (string, bool) {
	keyword = canonical(keyword)
	known := []string{
		"size", "type", "uid", "gid", "mode", "link", "nlink", "time", "tar_time", "xattr",
		"md5digest", "sha1digest", "sha256digest", "sha512digest",
	}
	return keyword, slices.Contains(known, keyword)
}

// Validate compares the tree at root with the manifest in the keywords, and
// tells each difference to report as one line of gomtree's.
func Validate(root string, manifest *Manifest, keywords []string, options Options, report func(line string)) error {
	rootfd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootfd)
	v := &validator{manifest: manifest, keywords: keywords, report: report, seen: map[string]bool{}}
	if err := walk(rootfd, options, v); err != nil {
		return err
	}
	for i := range manifest.Entries {
		if path := manifest.Entries[i].Path; !v.seen[path] {
			report(fmt.Sprintf("%q: missing", pathOf(path)))
		}
	}
	return nil
}

type validator struct {
	manifest *Manifest
	keywords []string
	report   func(line string)
	seen     map[string]bool
}

func (v *validator) leave() error { return nil }

func (v *validator) visit(c *cursor, e *Entry) error {
	v.seen[e.Path] = true
	listed, ok := v.manifest.Lookup(e.Path)
	if !ok {
		v.report(fmt.Sprintf("%q: unexpected path", pathOf(e.Path)))
		return nil
	}
	want := listed.Words()
	got, err := v.words(c, e)
	if err != nil {
		return err
	}
	for _, keyword := range compared(v.keywords, want, got) {
		wanted, found := want[keyword], got[keyword]
		if keyword == "time" || keyword == "tar_time" {
			wanted, found = sameTime(want, wanted), sameTime(want, found)
		}
		if wanted != found {
			v.report(fmt.Sprintf("%q: keyword %q: expected %s; got %s", pathOf(e.Path), keyword, wanted, found))
		}
	}
	return nil
}

// sameTime cuts a time to seconds if the manifest has no better one.
func sameTime(want map[string]string, value string) string {
	if _, ok := want["tar_time"]; ok || strings.HasSuffix(value, ".000000000") {
		value, _, _ = strings.Cut(value, ".")
	}
	return value
}

// compared expands the keyword xattr, and takes for the time the word that
// the manifest has.
func compared(keywords []string, want, got map[string]string) []string {
	set := map[string]bool{}
	for _, keyword := range keywords {
		switch keyword {
		case "xattr":
			for _, words := range []map[string]string{want, got} {
				for name := range words {
					if strings.HasPrefix(name, "xattr.") {
						set[name] = true
					}
				}
			}
		case "time", "tar_time":
			for _, name := range []string{"time", "tar_time"} {
				if _, ok := want[name]; ok {
					keyword = name
				}
			}
			set[keyword] = true
		default:
			set[keyword] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// words describes an object in the words of a manifest. Those that make no
// sense for its type are left out.
func (v *validator) words(c *cursor, e *Entry) (map[string]string, error) {
	words := map[string]string{
		"size": strconv.FormatInt(e.Size, 10), "type": e.Type,
		"uid": strconv.FormatUint(uint64(e.UID), 10), "gid": strconv.FormatUint(uint64(e.GID), 10),
		"mode": octal(e.Mode), "nlink": strconv.FormatUint(e.Nlink, 10),
		"tar_time": fmt.Sprintf("%d.000000000", e.MTime),
		"time":     fmt.Sprintf("%d.%09d", e.stat.mtime.Sec, e.stat.mtime.Nsec),
	}
	if e.Type == "link" {
		words["link"] = string(appendVis(nil, e.Link))
	}
	if err := c.readXattrs(e); err != nil {
		return nil, err
	}
	for name, value := range e.Xattrs {
		words["xattr."+string(appendVis(nil, name))] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	if e.Type != "file" {
		return words, nil
	}
	for keyword, newHash := range map[string]func() hash.Hash{
		"md5digest": md5.New, "sha1digest": sha1.New, "sha256digest": sha256.New, "sha512digest": sha512.New,
	} {
		if !slices.Contains(v.keywords, keyword) {
			continue
		}
		h := newHash()
		if err := c.hash(e, h); err != nil {
			return nil, err
		}
		words[keyword] = hex.EncodeToString(h.Sum(nil))
	}
	return words, nil
}
