// Package store reads and writes an OCI image layout: a directory of blobs
// named by their digest, and an index of tagged manifests (image-spec
// image-layout.md).
//
// Every blob is verified against its descriptor while it is read, and complete
// on disk before it gets its name. Processes that write to one layout at the
// same time lose nothing of each other. The package knows JSON and
// descriptors; what is in a config or a layer is not its business.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// maxJSONBytes bounds index.json and every blob that is parsed as JSON.
const maxJSONBytes = 32 << 20

// Layout is an image layout on disk.
type Layout struct {
	path string
}

// Open checks that path holds an image layout of version 1.0.0: oci-layout,
// index.json and blobs, all three REQUIRED by image-layout.md.
func Open(path string) (*Layout, error) {
	if path == "" {
		return nil, errors.New("layout: path is empty")
	}
	if strings.Contains(path, ":") {
		return nil, fmt.Errorf("layout %q: a path with ':' cannot be told from PATH:TAG", path)
	}
	l := &Layout{path: path}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("layout %s: %w", path, err)
	}
	return l, nil
}

func (l *Layout) check() error {
	var header v1.ImageLayout
	if err := l.readJSONFile(v1.ImageLayoutFile, &header); err != nil {
		return err
	}
	if header.Version != v1.ImageLayoutVersion {
		return fmt.Errorf("%s: version %q, want %q", v1.ImageLayoutFile, header.Version, v1.ImageLayoutVersion)
	}
	blobs, err := os.Stat(filepath.Join(l.path, v1.ImageBlobsDir))
	if err != nil {
		return err
	}
	if !blobs.IsDir() {
		return fmt.Errorf("%s: %w", v1.ImageBlobsDir, unix.ENOTDIR)
	}
	f, err := OpenRegular(filepath.Join(l.path, v1.ImageIndexFile))
	if err != nil {
		return err
	}
	return f.Close()
}

// Path is the layout's directory.
func (l *Layout) Path() string { return l.path }

// Index returns the layout's entry point, index.json.
func (l *Layout) Index() (v1.Index, error) {
	var index v1.Index
	if err := l.readJSONFile(v1.ImageIndexFile, &index); err != nil {
		return v1.Index{}, fmt.Errorf("layout %s: %w", l.path, err)
	}
	if index.SchemaVersion != 2 {
		return v1.Index{}, fmt.Errorf("layout %s: %s: schemaVersion %d, want 2", l.path, v1.ImageIndexFile, index.SchemaVersion)
	}
	return index, nil
}

// Tags lists the tags in the order of index.json; untagged entries are left
// out and duplicates kept.
func (l *Layout) Tags() ([]string, error) {
	index, err := l.Index()
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, d := range index.Manifests {
		if tag, ok := d.Annotations[v1.AnnotationRefName]; ok {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// unknownTag tells what may have been meant: tags that differ in little.
func (l *Layout) unknownTag(index *v1.Index, tag string) error {
	var near []string
	for _, d := range index.Manifests {
		name, ok := d.Annotations[v1.AnnotationRefName]
		if ok && isNear(name, tag) && !slices.Contains(near, name) {
			near = append(near, name)
		}
	}
	if len(near) == 0 {
		return fmt.Errorf("tag not found: %s", tag)
	}
	return fmt.Errorf("tag not found: %s (did you mean %s?)", tag, strings.Join(near[:min(len(near), 5)], ", "))
}

// isNear says whether a takes at most two edits to become b, or begins with
// it.
func isNear(a, b string) bool {
	const most, longest = 2, 128
	if len(a) > longest || len(b) > longest {
		return false
	}
	if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) || strings.EqualFold(a, b) {
		return true
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)] <= most && row[len(b)] < len(b)
}

func (l *Layout) readJSONFile(name string, v any) error {
	f, err := OpenRegular(filepath.Join(l.path, name))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := readAll(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// OpenRegular opens a file without being held up by a FIFO or
// waking a device. Symlinks are followed: blobs are shared that way between
// layouts, and what they lead to is verified.
func OpenRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readAll reads r to its end, at most maxJSONBytes.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxJSONBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxJSONBytes {
		return nil, fmt.Errorf("JSON larger than %d bytes", maxJSONBytes)
	}
	return data, nil
}
