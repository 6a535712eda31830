package registry

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
)

// saving is an archive in the making, beside its final place.
type saving struct {
	ctx  context.Context
	file *os.File
	to   string
	tar  *tar.Writer
}

func startArchive(ctx context.Context, to string) (*saving, error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".bundle-archive-")
	if err != nil {
		return nil, err
	}
	return &saving{ctx: ctx, file: f, to: to, tar: tar.NewWriter(f)}, nil
}

// finish makes the archive visible if err is nil, and drops it otherwise.
func (s *saving) finish(err error) error {
	defer s.file.Close()
	if err == nil {
		err = s.tar.Close()
	}
	if err == nil {
		err = s.file.Chmod(0o644)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = os.Rename(s.file.Name(), s.to)
	}
	if err != nil {
		_ = os.Remove(s.file.Name())
		return fmt.Errorf("archive %s: %w", s.to, err)
	}
	return nil
}

// put adds one file. Times, owners and modes say nothing about this machine:
// the same image gives the same archive.
func (s *saving) put(name string, size int64, content io.Reader) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if size < 8<<30 && len(name) < 100 {
		header.Format = tar.FormatUSTAR
	}
	if err := s.tar.WriteHeader(header); err != nil {
		return err
	}
	n, err := io.Copy(s.tar, content)
	if err == nil && n != size {
		err = fmt.Errorf("%s: %d bytes, want %d: %w", name, n, size, io.ErrUnexpectedEOF)
	}
	return err
}

func (s *saving) putJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.put(name, int64(len(data)), bytes.NewReader(data))
}

func (s *saving) putBlob(l *store.Layout, d v1.Descriptor) error {
	blob, err := l.Blob(d)
	if err != nil {
		return err
	}
	defer blob.Close()
	return s.put(path.Join(v1.ImageBlobsDir, string(d.Digest.Algorithm()), d.Digest.Encoded()), d.Size, blob)
}

func writeOCIArchive(ctx context.Context, g *graph, root v1.Descriptor, ref string) error {
	file, tag, err := parseArchive(ref)
	if err != nil {
		return err
	}
	root = plain(root)
	if tag != "" {
		if err := store.CheckTag(tag); err != nil {
			return err
		}
		root.Annotations = map[string]string{v1.AnnotationRefName: tag}
	}
	s, err := startArchive(ctx, file)
	if err != nil {
		return err
	}
	return s.finish(s.layout(g, root))
}

func (s *saving) layout(g *graph, root v1.Descriptor) error {
	index := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{root},
	}
	if err := s.putJSON(v1.ImageLayoutFile, v1.ImageLayout{Version: v1.ImageLayoutVersion}); err != nil {
		return err
	}
	if err := s.putJSON(v1.ImageIndexFile, index); err != nil {
		return err
	}
	for _, list := range [][]v1.Descriptor{g.manifests, g.blobs} {
		for _, d := range list {
			if err := s.putBlob(g.layout, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeDockerArchive writes what docker load reads: layers are uncompressed.
func writeDockerArchive(ctx context.Context, g *graph, ref string) error {
	file, name, err := parseArchive(ref)
	if err != nil {
		return err
	}
	if len(g.images) != 1 {
		return fmt.Errorf("a docker-archive holds one image, this index has %d: choose one with --platform", len(g.images))
	}
	s, err := startArchive(ctx, file)
	if err != nil {
		return err
	}
	return s.finish(s.docker(g, name))
}

func (s *saving) docker(g *graph, name string) error {
	image := g.images[0]
	var config v1.Image
	raw, err := g.layout.ReadBytes(image.Config)
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		return err
	}
	if len(config.RootFS.DiffIDs) != len(image.Layers) {
		return fmt.Errorf("config %s: %d diff_ids for %d layers", image.Config.Digest, len(config.RootFS.DiffIDs), len(image.Layers))
	}
	entry := dockerImage{Config: image.Config.Digest.Encoded() + ".json", Layers: []string{}, RepoTags: []string{}}
	if name != "" {
		if !strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
			name += ":" + defaultTag
		}
		entry.RepoTags = append(entry.RepoTags, name)
	}
	if err := s.put(entry.Config, int64(len(raw)), bytes.NewReader(raw)); err != nil {
		return err
	}
	written := map[digest.Digest]bool{}
	for i, d := range image.Layers {
		id := config.RootFS.DiffIDs[i]
		entry.Layers = append(entry.Layers, id.Encoded()+".tar")
		if written[id] {
			continue
		}
		written[id] = true
		if err := s.plainLayer(g.layout, d, id); err != nil {
			return err
		}
	}
	return s.putJSON("manifest.json", []dockerImage{entry})
}

// plainLayer inflates a layer twice: a tar header wants to know the size.
func (s *saving) plainLayer(l *store.Layout, d v1.Descriptor, id digest.Digest) error {
	if err := id.Validate(); err != nil {
		return fmt.Errorf("diff_id %q: %w", string(id), err)
	}
	verify := id.Algorithm().Digester()
	size, err := inflate(l, d, func(r io.Reader) (int64, error) { return io.Copy(verify.Hash(), r) })
	if err != nil {
		return err
	}
	if got := verify.Digest(); got != id {
		return fmt.Errorf("layer %s: %w: diff_id is %s, content is %s", d.Digest, store.ErrDigestMismatch, id, got)
	}
	_, err = inflate(l, d, func(r io.Reader) (int64, error) { return size, s.put(id.Encoded()+".tar", size, r) })
	return err
}

func inflate(l *store.Layout, d v1.Descriptor, use func(io.Reader) (int64, error)) (int64, error) {
	blob, err := l.Blob(d)
	if err != nil {
		return 0, err
	}
	defer blob.Close()
	plain, _, err := layer.Uncompressed(blob)
	if err != nil {
		return 0, fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	defer plain.Close()
	size, err := use(io.LimitReader(plain, maxArchiveBytes))
	if err == nil {
		err = blob.Drain()
	}
	return size, err
}
