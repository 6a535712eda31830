package registry

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
)

// Bounds of what an archive can make us do. An image has some hundred blobs.
const (
	maxArchiveEntries = 100_000
	maxArchiveBytes   = 256 << 30 // of a compressed archive, uncompressed
	maxArchiveLinks   = 8
)

// archive is a tar file whose entries are read where they are.
type archive struct {
	path    string
	file    *os.File
	entries map[string]section
}

// section is where an entry's content is; or, of a link, what it stands for.
type section struct {
	offset, size int64
	target       string
}

// openArchive reads the names of a tar file, which may be compressed by gzip
// or zstd: docker and podman write both kinds.
func openArchive(name string) (*archive, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &archive{path: name, file: f, entries: map[string]section{}}
	if err = a.unpack(); err == nil {
		err = a.scan()
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("archive %s: %w", name, err)
	}
	return a, nil
}

// unpack replaces a compressed file by a nameless one that is not.
func (a *archive) unpack() error {
	plain, was, err := layer.Uncompressed(a.file)
	if err != nil || was == layer.None {
		return err
	}
	defer plain.Close()
	temp, err := os.CreateTemp("", "bundle-archive-")
	if err != nil {
		return err
	}
	_ = os.Remove(temp.Name()) // the file lives as long as it is open
	n, err := io.Copy(temp, io.LimitReader(plain, maxArchiveBytes+1))
	if err == nil && n > maxArchiveBytes {
		err = fmt.Errorf("more than %d bytes uncompressed", int64(maxArchiveBytes))
	}
	if err != nil {
		temp.Close()
		return err
	}
	a.file.Close()
	a.file = temp
	return nil
}

// scan remembers where each file is. Of two with one name the last counts, as
// for tar(1).
func (a *archive) scan() error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := tar.NewReader(a.file)
	for n := 0; ; n++ {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // no name leads to a file system here
			return err
		}
		if n == maxArchiveEntries {
			return fmt.Errorf("more than %d entries", maxArchiveEntries)
		}
		name := path.Clean("/" + header.Name)[1:]
		switch header.Typeflag {
		case tar.TypeReg:
			at, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.entries[name] = section{offset: at, size: header.Size}
		case tar.TypeSymlink:
			a.entries[name] = section{target: path.Join(path.Dir("/"+name), header.Linkname)[1:]}
		case tar.TypeLink:
			a.entries[name] = section{target: path.Clean("/" + header.Linkname)[1:]}
		}
	}
}

// open finds a file, through links; the error matches [os.ErrNotExist].
func (a *archive) open(name string) (*io.SectionReader, error) {
	at := path.Clean("/" + name)[1:]
	for range maxArchiveLinks {
		s, ok := a.entries[at]
		if !ok {
			break
		}
		if s.target == "" {
			return io.NewSectionReader(a.file, s.offset, s.size), nil
		}
		at = s.target
	}
	return nil, &os.PathError{Op: "open", Path: a.path + ":" + name, Err: unix.ENOENT}
}

func (a *archive) readJSON(name string, v any) error {
	r, err := a.open(name)
	if err != nil {
		return err
	}
	if r.Size() > maxManifestBytes {
		return fmt.Errorf("%s: %s: %d bytes of JSON, at most %d are read", a.path, name, r.Size(), maxManifestBytes)
	}
	if err := json.NewDecoder(r).Decode(v); err != nil {
		return fmt.Errorf("%s: %s: %w", a.path, name, err)
	}
	return nil
}

// Close implements [Source].
func (a *archive) Close() error { return a.file.Close() }

// close is Close where there is another error to tell.
func (a *archive) close() { _ = a.file.Close() }

// ociArchiveSource is a layout in a tar file.
type ociArchiveSource struct {
	*archive
	tag string // "": the only image
}

func openOCIArchive(ref string) (Source, error) {
	file, tag, err := parseArchive(ref)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(file)
	if err != nil {
		return nil, err
	}
	var header v1.ImageLayout
	if err := a.readJSON(v1.ImageLayoutFile, &header); err != nil {
		a.close()
		return nil, err
	}
	if header.Version != v1.ImageLayoutVersion {
		a.close()
		return nil, fmt.Errorf("archive %s: %s: version %q, want %q", file, v1.ImageLayoutFile, header.Version, v1.ImageLayoutVersion)
	}
	return &ociArchiveSource{a, tag}, nil
}

// Resolve implements [Source].
func (s *ociArchiveSource) Resolve(context.Context) (v1.Descriptor, error) {
	var index v1.Index
	if err := s.readJSON(v1.ImageIndexFile, &index); err != nil {
		return v1.Descriptor{}, err
	}
	var found []v1.Descriptor
	var names []string
	for _, d := range index.Manifests {
		name := d.Annotations[v1.AnnotationRefName]
		if s.tag == "" || s.tag == name {
			found = append(found, d)
		}
		if name != "" && len(names) < 20 {
			names = append(names, name)
		}
	}
	if len(found) != 1 {
		return v1.Descriptor{}, fmt.Errorf("archive %s: %d images are named %q: there is %s", s.path, len(found), s.tag, strings.Join(names, ", "))
	}
	return found[0], nil
}

// Manifest implements [Source].
func (s *ociArchiveSource) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifestBytes {
		return nil, fmt.Errorf("manifest %s: %d bytes, at most %d are read", d.Digest, d.Size, maxManifestBytes)
	}
	r, _, err := s.Blob(ctx, d, 0)
	if err != nil {
		return nil, err
	}
	return readVerified(r, d)
}

// Blob implements [Source].
func (s *ociArchiveSource) Blob(_ context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, int64, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, 0, permanent{fmt.Errorf("digest %q: %w", string(d.Digest), err)}
	}
	r, err := s.open(path.Join(v1.ImageBlobsDir, string(d.Digest.Algorithm()), d.Digest.Encoded()))
	if err != nil {
		return nil, 0, permanent{err}
	}
	return from(r, offset)
}

func from(r *io.SectionReader, offset int64) (io.ReadCloser, int64, error) {
	if offset > r.Size() {
		offset = 0
	}
	_, err := r.Seek(offset, io.SeekStart)
	return io.NopCloser(r), offset, err
}

// dockerArchiveSource is what docker save writes. Its layers stay as they are
// in the archive: mostly uncompressed.
type dockerArchiveSource struct {
	*archive
	manifest []byte
	at       map[digest.Digest]string
}

type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func openDockerArchive(ref string) (Source, error) {
	file, name, err := parseArchive(ref)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(file)
	if err != nil {
		return nil, err
	}
	s := &dockerArchiveSource{archive: a, at: map[digest.Digest]string{}}
	if err := s.load(name); err != nil {
		a.close()
		return nil, err
	}
	return s, nil
}

func (s *dockerArchiveSource) load(name string) error {
	var images []dockerImage
	if err := s.readJSON("manifest.json", &images); err != nil {
		return err
	}
	image, err := chooseImage(images, name)
	if err != nil {
		return fmt.Errorf("archive %s: %w", s.path, err)
	}
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	var config v1.Image
	if err := s.readJSON(image.Config, &config); err != nil {
		return err
	}
	if len(config.RootFS.DiffIDs) != len(image.Layers) {
		return fmt.Errorf("archive %s: %d layers, but %d diff_ids in %s", s.path, len(image.Layers), len(config.RootFS.DiffIDs), image.Config)
	}
	if m.Config, err = s.describe(image.Config, v1.MediaTypeImageConfig); err != nil {
		return err
	}
	m.Layers = make([]v1.Descriptor, len(image.Layers))
	for i, file := range image.Layers {
		if m.Layers[i], err = s.describeLayer(file, config.RootFS.DiffIDs[i]); err != nil {
			return err
		}
	}
	s.manifest, err = json.Marshal(m)
	return err
}

func chooseImage(images []dockerImage, name string) (dockerImage, error) {
	var found []dockerImage
	var names []string
	for _, image := range images {
		matches := name == ""
		for _, tag := range image.RepoTags {
			matches = matches || fullName(tag) == fullName(name)
			names = append(names, tag)
		}
		if matches {
			found = append(found, image)
		}
	}
	if len(found) != 1 {
		return dockerImage{}, fmt.Errorf("%d images are named %q: there is %s", len(found), name, strings.Join(names[:min(len(names), 20)], ", "))
	}
	return found[0], nil
}

// fullName spells out what docker lets people leave out.
func fullName(name string) string {
	ref, err := parseRemote(name)
	if err != nil {
		return name
	}
	return ref.String()
}

// describe computes the digest of a file.
func (s *dockerArchiveSource) describe(name, mediaType string) (v1.Descriptor, error) {
	r, err := s.open(name)
	if err != nil {
		return v1.Descriptor{}, err
	}
	id, err := digest.SHA256.FromReader(r)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("%s: %s: %w", s.path, name, err)
	}
	s.at[id] = name
	return v1.Descriptor{MediaType: mediaType, Digest: id, Size: r.Size()}, nil
}

// describeLayer verifies the diff_id as well, which names a layer's content.
func (s *dockerArchiveSource) describeLayer(name string, diffID digest.Digest) (v1.Descriptor, error) {
	d, err := s.describe(name, v1.MediaTypeImageLayer)
	if err != nil || d.Digest == diffID {
		return d, err
	}
	r, err := s.open(name)
	if err != nil {
		return d, err
	}
	plain, was, err := layer.Uncompressed(r)
	if err != nil {
		return d, fmt.Errorf("%s: %s: %w", s.path, name, err)
	}
	defer plain.Close()
	got, err := digest.SHA256.FromReader(io.LimitReader(plain, maxArchiveBytes))
	if err == nil && got != diffID {
		err = fmt.Errorf("%w: diff_id is %s, content is %s", store.ErrDigestMismatch, diffID, got)
	}
	if err != nil {
		return d, fmt.Errorf("%s: layer %s: %w", s.path, name, err)
	}
	d.MediaType = was.MediaType()
	return d, nil
}

// Resolve implements [Source].
func (s *dockerArchiveSource) Resolve(context.Context) (v1.Descriptor, error) {
	return v1.Descriptor{
		MediaType: v1.MediaTypeImageManifest, Digest: digest.FromBytes(s.manifest), Size: int64(len(s.manifest)),
	}, nil
}

// Manifest implements [Source].
func (s *dockerArchiveSource) Manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	return readVerified(bytes.NewReader(s.manifest), d)
}

// Blob implements [Source].
func (s *dockerArchiveSource) Blob(_ context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, int64, error) {
	name, ok := s.at[d.Digest]
	if !ok {
		return nil, 0, permanent{fmt.Errorf("archive %s: blob %s: %w", s.path, d.Digest, os.ErrNotExist)}
	}
	r, err := s.open(name)
	if err != nil {
		return nil, 0, permanent{err}
	}
	return from(r, offset)
}
