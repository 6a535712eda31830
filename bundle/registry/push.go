package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hako-runtime/hako/bundle/store"
)

// Push copies the image that d describes from the layout to what ref names:
// a registry, oci-archive:FILE[:TAG] or docker-archive:FILE[:REPOSITORY:TAG].
// Blobs that a registry has are not transferred. The tag appears last; a file
// appears complete or not at all.
func Push(ctx context.Context, l *store.Layout, d v1.Descriptor, ref string, o Options, t Transfer) error {
	g := graph{layout: l}
	if err := g.add(d, 0); err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(ref, ociArchive); ok {
		return writeOCIArchive(ctx, &g, d, rest)
	}
	if rest, ok := strings.CutPrefix(ref, dockerArchive); ok {
		return writeDockerArchive(ctx, &g, rest)
	}
	r, err := openRemote(ref, o)
	if err != nil {
		return err
	}
	if isDigest(r.ref.Reference) {
		return fmt.Errorf("reference %q: a tag is wanted, digests follow from the content", ref)
	}
	p := pusher{Transfer: t, layout: l, to: r}
	if err := p.push(ctx, &g); err != nil {
		return r.fail(err)
	}
	return nil
}

// graph is all that an image consists of: blobs, and what refers to them.
type graph struct {
	layout    *store.Layout
	seen      map[string]bool
	blobs     []v1.Descriptor
	manifests []v1.Descriptor // in the order in which a registry accepts them
	images    []v1.Manifest
}

func (g *graph) add(d v1.Descriptor, depth int) error {
	if depth > maxIndexes {
		return fmt.Errorf("index %s: nested more than %d deep", d.Digest, maxIndexes)
	}
	if g.seen == nil {
		g.seen = map[string]bool{}
	}
	if g.seen[string(d.Digest)] {
		return nil
	}
	g.seen[string(d.Digest)] = true
	var content struct {
		v1.Manifest
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := g.layout.ReadJSON(d, &content); err != nil {
		if depth > 0 && errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: of an index, every image must be in the layout, or one be chosen with --platform", err)
		}
		return err
	}
	switch store.OCIMediaType(d.MediaType) {
	case v1.MediaTypeImageIndex:
		for _, child := range content.Manifests {
			if err := g.add(child, depth+1); err != nil {
				return err
			}
		}
	case v1.MediaTypeImageManifest:
		g.images = append(g.images, content.Manifest)
		for _, blob := range append([]v1.Descriptor{content.Config}, content.Layers...) {
			if !g.seen[string(blob.Digest)] {
				g.seen[string(blob.Digest)] = true
				g.blobs = append(g.blobs, blob)
			}
		}
	default:
		return fmt.Errorf("manifest %s: media type %q is not supported", d.Digest, d.MediaType)
	}
	g.manifests = append(g.manifests, plain(d))
	return nil
}

type pusher struct {
	Transfer
	layout *store.Layout
	to     *remoteRepository
}

func (p *pusher) push(ctx context.Context, g *graph) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(p.Jobs, 1))
	for _, d := range g.blobs {
		group.Go(func() error { return p.blob(groupCtx, d) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, d := range g.manifests {
		raw, err := p.layout.ReadBytes(d)
		if err != nil {
			return err
		}
		tag := ""
		if i == len(g.manifests)-1 {
			tag = p.to.ref.Reference
		}
		if err := p.to.putManifest(ctx, d, bytes.NewReader(raw), tag); err != nil {
			return fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
	}
	return nil
}

// blob uploads one blob that the registry lacks; what it has is asked again
// before each attempt, as the last one may have arrived.
func (p *pusher) blob(ctx context.Context, d v1.Descriptor) error {
	for attempt := 1; ; attempt++ {
		err := p.upload(ctx, d)
		if err == nil {
			return nil
		}
		if err := pause(ctx, d, attempt, err); err != nil {
			return err
		}
	}
}

func (p *pusher) upload(ctx context.Context, d v1.Descriptor) error {
	has, err := p.to.has(ctx, d)
	if err != nil {
		return err
	}
	if has {
		p.report(Progress{Descriptor: d, Bytes: d.Size, Kept: true, Done: true})
		return nil
	}
	blob, err := p.layout.Blob(d)
	if err != nil {
		return permanent{err}
	}
	defer blob.Close()
	sent := int64(0)
	counting := &reading{blob, func(n int) {
		sent += int64(n)
		p.report(Progress{Descriptor: d, Bytes: sent})
	}}
	if err := p.to.putBlob(ctx, d, counting); err != nil {
		return err
	}
	p.report(Progress{Descriptor: d, Bytes: d.Size, Done: true})
	return nil
}

// permanent is a failure of our side, which another attempt does not change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

type reading struct {
	io.Reader
	read func(n int)
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read(n)
	return n, err
}
