package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/hako-runtime/hako/bundle/store"
)

// Source is where an image is pulled from.
type Source interface {
	// Resolve describes the image's manifest or index.
	Resolve(ctx context.Context) (v1.Descriptor, error)

	// Manifest reads a manifest or an index, verified.
	Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error)

	// Blob reads a blob from offset on, or, if it cannot, from where it says.
	// What is read is not verified, and may be longer than d says.
	Blob(ctx context.Context, d v1.Descriptor, offset int64) (body io.ReadCloser, at int64, err error)

	Close() error
}

// OpenSource opens what ref names: an image in a registry,
// oci-archive:FILE[:TAG] or docker-archive:FILE[:REPOSITORY:TAG].
func OpenSource(ref string, o Options) (Source, error) {
	if rest, ok := strings.CutPrefix(ref, ociArchive); ok {
		return openOCIArchive(rest)
	}
	if rest, ok := strings.CutPrefix(ref, dockerArchive); ok {
		return openDockerArchive(rest)
	}
	return openRemote(ref, o)
}

// Transfer says how images are moved.
type Transfer struct {
	Platform string // OS/ARCH[/VARIANT] of an index; "": this machine's
	All      bool   // every platform of an index
	Jobs     int    // how many blobs at once

	// Report, if not nil, is told of every blob: often, from many goroutines.
	Report func(Progress)
}

// Progress is how far the transfer of one blob is.
type Progress struct {
	Descriptor v1.Descriptor
	Bytes      int64
	Kept       bool // the other side had it
	Done       bool
}

func (t *Transfer) report(p Progress) {
	if t.Report != nil {
		t.Report(p)
	}
}

// Pull copies the image that d, of src, describes into the layout, under no
// tag yet, and returns what it has become: Docker's media types are replaced by
// those of image-spec. Blobs that the layout has are not transferred;
// interrupted transfers go on where they ended.
func Pull(ctx context.Context, src Source, d v1.Descriptor, w *store.Writer, t Transfer) (v1.Descriptor, error) {
	p := &puller{src: src, w: w, Transfer: t}
	return p.any(ctx, d, 0)
}

type puller struct {
	Transfer
	src Source
	w   *store.Writer
}

// maxIndexes bounds nested indexes; real ones have one level.
const maxIndexes = 4

// any pulls an index or a manifest, and returns what it has become.
func (p *puller) any(ctx context.Context, d v1.Descriptor, depth int) (v1.Descriptor, error) {
	data, err := p.src.Manifest(ctx, d)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if err := checkMediaType(data, d); err != nil {
		return v1.Descriptor{}, err
	}
	switch store.OCIMediaType(d.MediaType) {
	case v1.MediaTypeImageManifest:
		return p.manifest(ctx, d, data)
	case v1.MediaTypeImageIndex:
		if depth == maxIndexes {
			return v1.Descriptor{}, fmt.Errorf("index %s: nested more than %d deep", d.Digest, maxIndexes)
		}
		return p.index(ctx, d, data, depth)
	}
	return v1.Descriptor{}, fmt.Errorf("manifest %s: media type %q is not supported", d.Digest, d.MediaType)
}

// checkMediaType: a blob must not be read as another type than it says it is
// (image-spec manifest.md; the confusion of CVE-2021-41190).
func checkMediaType(data []byte, d v1.Descriptor) error {
	var says struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal(data, &says); err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if says.MediaType != "" && says.MediaType != d.MediaType {
		return fmt.Errorf("manifest %s: mediaType %q, but it was announced as %q", d.Digest, says.MediaType, d.MediaType)
	}
	if says.Manifests != nil && (says.Config != nil || says.Layers != nil) {
		return fmt.Errorf("manifest %s: is an index and a manifest at once", d.Digest)
	}
	return nil
}

func (p *puller) index(ctx context.Context, d v1.Descriptor, data []byte, depth int) (v1.Descriptor, error) {
	var index v1.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return v1.Descriptor{}, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	if !p.All {
		one, err := p.choose(d, index.Manifests)
		if err != nil {
			return v1.Descriptor{}, err
		}
		got, err := p.any(ctx, one, depth+1)
		got.Platform = one.Platform
		return got, err
	}
	changed := d.MediaType != v1.MediaTypeImageIndex
	for i, child := range index.Manifests {
		got, err := p.any(ctx, child, depth+1)
		if err != nil {
			return v1.Descriptor{}, err
		}
		if got.Digest != child.Digest {
			changed = true
			child.MediaType, child.Digest, child.Size = got.MediaType, got.Digest, got.Size
			index.Manifests[i] = child
		}
	}
	if !changed {
		return plain(d), p.w.Ingest(d, strings.NewReader(string(data)))
	}
	index.MediaType = v1.MediaTypeImageIndex
	return p.w.PutJSON(v1.MediaTypeImageIndex, index)
}

// plain drops what a registry or an index says about d.
func plain(d v1.Descriptor) v1.Descriptor {
	return v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// choose takes the first manifest for the platform, as registries' clients do.
func (p *puller) choose(index v1.Descriptor, list []v1.Descriptor) (v1.Descriptor, error) {
	want := p.Platform
	if want == "" {
		want = runtime.GOOS + "/" + runtime.GOARCH
	}
	var offered []string
	for _, d := range list {
		if d.Platform == nil {
			continue
		}
		if store.Fits(d.Platform, want) {
			return d, nil
		}
		if name := store.PlatformName(d.Platform); len(offered) < 20 && name != "unknown/unknown" { // BuildKit's attestations
			offered = append(offered, name)
		}
	}
	return v1.Descriptor{}, fmt.Errorf("index %s: no image for platform %s: there is %s", index.Digest, want, strings.Join(offered, ", "))
}

func (p *puller) manifest(ctx context.Context, d v1.Descriptor, data []byte) (v1.Descriptor, error) {
	var m v1.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return v1.Descriptor{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if m.SchemaVersion != 2 {
		return v1.Descriptor{}, fmt.Errorf("manifest %s: schemaVersion %d, want 2", d.Digest, m.SchemaVersion)
	}
	if err := p.blobs(ctx, append([]v1.Descriptor{m.Config}, m.Layers...)); err != nil {
		return v1.Descriptor{}, err
	}
	if !convert(&m, d.MediaType) {
		return plain(d), p.w.Ingest(d, strings.NewReader(string(data)))
	}
	return p.w.PutJSON(v1.MediaTypeImageManifest, m)
}

// convert replaces Docker's media types and says whether there were any.
func convert(m *v1.Manifest, mediaType string) bool {
	changed := mediaType != v1.MediaTypeImageManifest
	one := func(d *v1.Descriptor) {
		if oci := store.OCIMediaType(d.MediaType); oci != d.MediaType {
			d.MediaType, changed = oci, true
		}
	}
	one(&m.Config)
	for i := range m.Layers {
		one(&m.Layers[i])
	}
	if changed {
		m.MediaType = v1.MediaTypeImageManifest
	}
	return changed
}

// blobs pulls those that the layout lacks, several at a time.
func (p *puller) blobs(ctx context.Context, list []v1.Descriptor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(p.Jobs, 1))
	seen := map[string]bool{}
	for _, d := range list {
		if seen[string(d.Digest)] {
			continue
		}
		seen[string(d.Digest)] = true
		if p.w.Has(d) {
			p.report(Progress{Descriptor: d, Bytes: d.Size, Kept: true, Done: true})
			continue
		}
		group.Go(func() error { return p.blob(ctx, d) })
	}
	return group.Wait()
}

// maxAttempts is how often a transfer is resumed without getting further.
const maxAttempts = 4

func (p *puller) blob(ctx context.Context, d v1.Descriptor) error {
	part, err := p.w.Resume(d)
	if err != nil {
		return err
	}
	defer part.Close()
	for attempt, last := 1, part.Size(); part.Size() < d.Size; attempt++ {
		err := p.receive(ctx, part, d)
		if err == nil {
			break
		}
		if part.Size() > last {
			attempt, last = 1, part.Size()
		}
		if err := pause(ctx, d, attempt, err); err != nil {
			return err
		}
	}
	if err := part.Commit(); err != nil {
		return err
	}
	p.report(Progress{Descriptor: d, Bytes: d.Size, Done: true})
	return nil
}

// pause waits before the next attempt; it returns err if there is none.
func pause(ctx context.Context, d v1.Descriptor, attempt int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if attempt == maxAttempts || !mayPass(err) {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(attempt) * 200 * time.Millisecond):
		return nil
	}
}

func (p *puller) receive(ctx context.Context, part *store.Partial, d v1.Descriptor) error {
	body, at, err := p.src.Blob(ctx, d, part.Size())
	if err != nil {
		return err
	}
	defer body.Close()
	if at != part.Size() {
		if err := part.Reset(); err != nil {
			return err
		}
	}
	counting := io.TeeReader(body, reporter(func() { p.report(Progress{Descriptor: d, Bytes: part.Size()}) }))
	if _, err := io.Copy(part, counting); err != nil {
		return err
	}
	if part.Size() < d.Size {
		return io.ErrUnexpectedEOF
	}
	return nil
}

type reporter func()

func (r reporter) Write(data []byte) (int, error) {
	r()
	return len(data), nil
}

// mayPass tells failures of the moment from those that will not change.
func mayPass(err error) bool {
	if errors.Is(err, store.ErrSizeMismatch) || errors.Is(err, store.ErrDigestMismatch) ||
		errors.Is(err, errdef.ErrNotFound) || errors.Is(err, ErrForeignHost) || errors.As(err, &permanent{}) {
		return false
	}
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) {
		return answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests
	}
	return true
}
