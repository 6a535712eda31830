package main

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/runconf"
	"github.com/hako-runtime/hako/bundle/store"
)

// buildContext is the folder that COPY and ADD take files from. Symlinks in it
// lead nowhere else.
type buildContext struct {
	tree   *layer.Tree
	ignore *patternmatcher.PatternMatcher // nil: nothing
}

// openContext reads FILE.dockerignore, or else .dockerignore.
func openContext(dir, dockerfile string) (*buildContext, error) {
	tree, err := layer.OpenTree(dir, layer.Options{})
	if err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	c := &buildContext{tree: tree}
	data, err := readOptional(dockerfile + ".dockerignore")
	if data == nil && err == nil {
		if data, err = tree.ReadFile(".dockerignore", maxMeta); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	var patterns []string
	if err == nil {
		patterns, err = ignorefile.ReadAll(bytes.NewReader(data))
	}
	if err == nil && len(patterns) > 0 {
		c.ignore, err = patternmatcher.New(patterns)
	}
	if err != nil {
		_ = tree.Close()
		return nil, fmt.Errorf(".dockerignore: %w", err)
	}
	return c, nil
}

func readOptional(path string) ([]byte, error) {
	f, err := store.OpenRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxMeta))
}

func (c *buildContext) close() { _ = c.tree.Close() }

// ignored says whether .dockerignore leaves a path out.
func (c *buildContext) ignored(name string) bool {
	if c.ignore == nil || name == "" {
		return false
	}
	matches, err := c.ignore.MatchesOrParentMatches(filepath.FromSlash(name))
	return err == nil && matches // patterns were compiled before
}

// copying is a COPY or ADD.
type copying struct {
	instructions.SourcesAndDest
	chown, chmod string
	exclude      []string
	unpack       bool // archives
}

func (s *buildStage) copyCommand(c *instructions.CopyCommand) (*image.Layer, error) {
	if c.Parents {
		return nil, errors.New("--parents is not supported")
	}
	copied := copying{c.SourcesAndDest, c.Chown, c.Chmod, c.ExcludePatterns, false}
	if c.From == "" {
		return s.copyFrom(copied, s.b.context.tree, s.b.context.ignored, "")
	}
	return s.copyFromStage(copied, c.From)
}

func (s *buildStage) addCommand(c *instructions.AddCommand) (*image.Layer, error) {
	for _, source := range c.SourcePaths {
		if strings.Contains(source, "://") || strings.HasPrefix(source, "git@") {
			return nil, fmt.Errorf("%s: fetching is not supported: put the file into the context", source)
		}
	}
	if c.Checksum != "" || c.KeepGitDir != nil {
		return nil, errors.New("--checksum and --keep-git-dir are for what is fetched, which is not supported")
	}
	copied := copying{c.SourcesAndDest, c.Chown, c.Chmod, c.ExcludePatterns, c.Unpack == nil || *c.Unpack}
	return s.copyFrom(copied, s.b.context.tree, s.b.context.ignored, "")
}

// copyFromStage copies from another stage, or from an image.
func (s *buildStage) copyFromStage(c copying, name string) (*image.Layer, error) {
	from := &buildStage{b: s.b}
	if n, ok := s.b.stageNumber(name, s.number); ok {
		other, err := s.b.build(n)
		if err != nil {
			return nil, err
		}
		from.image = other.image
	} else {
		base, err := s.b.baseImage(name, s.b.platform)
		if err != nil {
			return nil, fmt.Errorf("--from=%s: %w", name, err)
		}
		from.image = base
	}
	release, err := s.b.layers.Share(s.b.ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := from.unpack(); err != nil {
		return nil, err
	}
	chain, err := from.chainOf()
	if err != nil {
		return nil, err
	}
	identity := "scratch"
	if len(chain) > 0 {
		identity = string(chain[len(chain)-1])
	}
	tree, closeTree, err := s.b.readOnly(chain)
	if err != nil {
		return nil, err
	}
	defer closeTree()
	return s.copyFrom(c, tree, func(string) bool { return false }, identity)
}

// copyFrom copies what the sources name. identity stands for the content of
// tree; "" has it read to find out.
func (s *buildStage) copyFrom(c copying, tree *layer.Tree, ignored func(string) bool, identity string) (*image.Layer, error) {
	sources, err := c.find(tree, ignored)
	if err != nil {
		return nil, err
	}
	exclude, err := patternmatcher.New(c.exclude)
	if err != nil {
		return nil, fmt.Errorf("--exclude: %w", err)
	}
	skip := func(name string, _ bool) bool {
		if ignored(name) {
			return true
		}
		excluded, err := exclude.MatchesOrParentMatches(name)
		return err == nil && excluded
	}
	set := copySet{copying: c, tree: tree, sources: sources, options: layer.CopyOptions{Skip: skip}}
	if identity == "" {
		if identity, err = set.identity(); err != nil {
			return nil, err
		}
	}
	dest := s.inWorkdir(c.DestPath)
	if strings.HasSuffix(c.DestPath, "/") || strings.HasSuffix(c.DestPath, "/.") || c.DestPath == "." {
		dest = strings.TrimSuffix(dest, "/") + "/"
	}
	key := append([]string{"copy", dest, c.chown, c.chmod, strconv.FormatBool(c.unpack), identity}, c.SourcePaths...)
	for _, content := range c.SourceContents {
		key = append(key, content.Path, content.Data)
	}
	return s.produce(key, func(r *stepRoot) error { return s.copyInto(r, &set, dest) })
}

// find looks up the sources; each must be there.
func (c *copying) find(tree *layer.Tree, ignored func(string) bool) ([]layer.Found, error) {
	var all []layer.Found
	for _, pattern := range c.SourcePaths {
		paths, err := tree.Glob(pattern)
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, name := range paths {
			found, err := tree.Find(name)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			if err == nil && !ignored(path.Clean("/" + name)[1:]) {
				all = append(all, found)
			}
		}
		if len(all) == before {
			return nil, fmt.Errorf("%s: no such file in the context (or .dockerignore leaves it out)", pattern)
		}
	}
	return all, nil
}

// copySet is what is copied.
type copySet struct {
	copying
	tree    *layer.Tree
	sources []layer.Found
	options layer.CopyOptions
}

// identity is a digest of all that is copied, but for its times.
func (c *copySet) identity() (string, error) {
	h := sha256.New()
	packer := layer.NewPacker(h, layer.PackOptions{NotAfter: time.Unix(0, 0).Add(time.Second)})
	for i, from := range c.sources {
		if err := packer.AddFrom(c.tree, from, strconv.Itoa(i)+"/"+path.Base("/"+from.Path), true, c.options); err != nil {
			return "", err
		}
	}
	if err := packer.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (s *buildStage) copyInto(r *stepRoot, c *copySet, dest string) error {
	tree, err := r.open()
	if err != nil {
		return err
	}
	defer tree.Close()
	options := layer.PackOptions{Owner: &layer.Owner{}, NotAfter: s.b.latest}
	if c.chown != "" {
		user, err := runconf.User(c.chown, tree)
		if err != nil {
			return fmt.Errorf("--chown=%s: %w", c.chown, err)
		}
		options.Owner = &layer.Owner{UID: int(user.UID), GID: int(user.GID)}
		// As docker has it: a name means its group as well, a number two times
		// the number.
		if _, err := strconv.ParseUint(c.chown, 10, 32); err == nil {
			options.Owner.GID = int(user.UID)
		}
	}
	if c.chmod != "" {
		mode, err := strconv.ParseUint(c.chmod, 8, 12)
		if err != nil {
			return fmt.Errorf("--chmod=%s: want an octal mode", c.chmod)
		}
		bits := uint32(mode)
		options.Mode = &bits
	}
	intoDir, err := c.intoDir(tree, dest)
	if err != nil {
		return err
	}
	for _, from := range c.sources {
		if err := s.copyOne(r, tree, c, from, dest, intoDir, options); err != nil {
			return err
		}
	}
	return r.pack(tree, options, func(p *layer.Packer) error {
		for _, file := range c.SourceContents {
			if err := p.AddFile(target(dest, file.Path, intoDir), 0o644, []byte(file.Data)); err != nil {
				return err
			}
		}
		return nil
	})
}

// intoDir says whether the destination is a folder to copy into.
func (c *copySet) intoDir(tree *layer.Tree, dest string) (bool, error) {
	if strings.HasSuffix(dest, "/") {
		return true, nil
	}
	if len(c.sources)+len(c.SourceContents) > 1 {
		return false, fmt.Errorf("%s: several sources want a destination that ends with /", dest)
	}
	found, err := tree.Find(dest)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && found.IsDir, err
}

func target(dest, name string, intoDir bool) string {
	if intoDir {
		dest = path.Join(dest, path.Base("/"+name))
	}
	return path.Clean(dest)[1:]
}

func (s *buildStage) copyOne(r *stepRoot, tree *layer.Tree, c *copySet, from layer.Found, dest string, intoDir bool, options layer.PackOptions) error {
	if from.IsDir {
		return s.copyDir(r, tree, c, from, dest, options)
	}
	if c.unpack {
		done, err := s.unpackArchive(tree, c, from, dest)
		if done || err != nil {
			return err
		}
	}
	return r.pack(tree, options, func(p *layer.Packer) error {
		return p.AddFrom(c.tree, from, target(dest, from.Path, intoDir), true, c.options)
	})
}

// copyDir copies what is in a folder, into the destination, which is made if
// it is missing.
func (s *buildStage) copyDir(r *stepRoot, tree *layer.Tree, c *copySet, from layer.Found, dest string, options layer.PackOptions) error {
	found, err := tree.Find(dest)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if !missing && !found.IsDir {
		return fmt.Errorf("%s is not a directory", dest)
	}
	name := path.Clean(dest)[1:]
	return r.pack(tree, options, func(p *layer.Packer) error {
		if missing {
			if err := p.AddDir(name, 0o755); err != nil {
				return err
			}
		}
		return p.AddFrom(c.tree, from, name, false, c.options)
	})
}

// unpackArchive unpacks a tar file into the destination; false if it is none.
func (s *buildStage) unpackArchive(tree *layer.Tree, c *copySet, from layer.Found, dest string) (bool, error) {
	f, err := c.tree.OpenFile(from)
	if err != nil {
		return false, err
	}
	defer f.Close()
	plain, err := inflateArchive(f, from.Path)
	if plain == nil || err != nil {
		return false, err
	}
	_, err = tar.NewReader(plain).Next()
	plain.Close()
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
		return false, nil // compressed, but no archive: it is copied
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	if plain, err = inflateArchive(f, from.Path); err != nil {
		return false, err
	}
	defer plain.Close()
	if err := tree.ApplyArchive(cancelable{s.b.ctx, plain}, path.Clean(dest)[1:]); err != nil {
		return false, fmt.Errorf("%s: %w", from.Path, err)
	}
	return true, nil
}

// inflateArchive looks at the first bytes of what may be a tar file; nil if it
// is none.
func inflateArchive(f io.ReadSeeker, name string) (io.ReadCloser, error) {
	var magic [512]byte
	n, err := io.ReadFull(f, magic[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	head := magic[:n]
	isTar := len(head) == len(magic) && bytes.Equal(head[257:262], []byte("ustar"))
	switch {
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(f)), nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return nil, fmt.Errorf("%s: archives compressed with xz are not supported: unpack it first, or use gzip or zstd", name)
	}
	plain, was, err := layer.Uncompressed(f)
	if err != nil || (was == layer.None && !isTar) {
		return nil, err
	}
	return plain, nil
}
