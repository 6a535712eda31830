package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/hako-runtime/hako/bundle/store"
)

// maxManifestBytes is what registries accept, and so bounds what is read of
// one; distribution-spec, "Pushing Manifests".
const maxManifestBytes = 4 << 20

// manifestTypes is what we ask registries for.
var manifestTypes = []string{
	v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, store.DockerManifest, store.DockerManifestList,
}

// remoteRepository is one repository of a registry.
type remoteRepository struct {
	repo *remote.Repository
	ref  registry.Reference
}

func openRemote(s string, o Options) (*remoteRepository, error) {
	ref, err := parseRemote(s)
	if err != nil {
		return nil, err
	}
	client, err := o.newClient(ref.Host(), ref.Repository)
	if err != nil {
		return nil, err
	}
	repo := &remote.Repository{
		Client: client, Reference: ref, PlainHTTP: o.PlainHTTP,
		ManifestMediaTypes: manifestTypes, MaxMetadataBytes: maxManifestBytes,
		SkipReferrersGC: true,
	}
	return &remoteRepository{repo, ref}, nil
}

func (r *remoteRepository) fail(err error) error {
	if errors.Is(err, errdef.ErrNotFound) {
		return fmt.Errorf("%s: not found", r.ref)
	}
	return fmt.Errorf("%s: %w", r.ref, err)
}

// Resolve implements [Source].
func (r *remoteRepository) Resolve(ctx context.Context) (v1.Descriptor, error) {
	d, err := r.repo.Manifests().Resolve(ctx, r.ref.Reference)
	if err == nil {
		return d, nil
	}
	var answer *errcode.ErrorResponse
	if errors.Is(err, errdef.ErrNotFound) || errors.As(err, &answer) {
		return d, r.fail(err)
	}
	// A registry should tell the digest when it is only asked for (HEAD), but
	// need not.
	d, body, err := r.repo.Manifests().FetchReference(ctx, r.ref.Reference)
	if err != nil {
		return d, r.fail(err)
	}
	return d, body.Close()
}

// Manifest implements [Source].
func (r *remoteRepository) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifestBytes {
		return nil, fmt.Errorf("manifest %s: %d bytes, at most %d are read", d.Digest, d.Size, maxManifestBytes)
	}
	body, err := r.repo.Manifests().Fetch(ctx, d)
	if err != nil {
		return nil, r.fail(err)
	}
	defer body.Close()
	return readVerified(body, d)
}

// readVerified reads what d describes, and a byte more to see that it ends.
func readVerified(body io.Reader, d v1.Descriptor) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, d.Size+1))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if int64(len(data)) != d.Size {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes, want %d", d.Digest, store.ErrSizeMismatch, len(data), d.Size)
	}
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("manifest %q: %w", string(d.Digest), err)
	}
	if got := d.Digest.Algorithm().FromBytes(data); got != d.Digest {
		return nil, fmt.Errorf("manifest %s: %w: content is %s", d.Digest, store.ErrDigestMismatch, got)
	}
	return data, nil
}

// Blob implements [Source]: it goes on at an offset if the registry can.
func (r *remoteRepository) Blob(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, int64, error) {
	body, err := r.repo.Blobs().Fetch(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	seeker, ok := body.(io.Seeker)
	if offset == 0 || !ok {
		return body, 0, nil
	}
	if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
		body.Close()
		return nil, 0, err
	}
	return body, offset, nil
}

// Close implements [Source].
func (r *remoteRepository) Close() error { return nil }

// has says whether the repository holds a blob.
func (r *remoteRepository) has(ctx context.Context, d v1.Descriptor) (bool, error) {
	return r.repo.Blobs().Exists(ctx, d)
}

func (r *remoteRepository) putBlob(ctx context.Context, d v1.Descriptor, content io.Reader) error {
	return r.repo.Blobs().Push(ctx, d, content)
}

// putManifest stores a manifest under its digest, or under the tag.
func (r *remoteRepository) putManifest(ctx context.Context, d v1.Descriptor, content io.Reader, tag string) error {
	if tag == "" {
		return r.repo.Manifests().Push(ctx, d, content)
	}
	return r.repo.Manifests().PushReference(ctx, d, content, tag)
}

// isDigest says whether a reference is one; nothing can be pushed to it.
func isDigest(reference string) bool { return digest.Digest(reference).Validate() == nil }
