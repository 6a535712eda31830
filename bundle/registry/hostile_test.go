package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/store"
)

// fakeRegistry serves blobs and manifests as it is told to, honestly or not.
type fakeRegistry struct {
	*httptest.Server
	mu       sync.Mutex
	contents map[string][]byte // by path behind /v2/
	types    map[string]string
	cut      map[string]int    // of a blob: send so many bytes of each answer
	endless  map[string]bool   // never stop sending
	redirect map[string]string // answer with this Location
	digests  bool              // say what the digest is, as most do
	realm    string            // ask for a token from there
	requests []string
}

func newFake(t *testing.T) *fakeRegistry {
	f := &fakeRegistry{
		contents: map[string][]byte{}, types: map[string]string{}, cut: map[string]int{},
		endless: map[string]bool{}, redirect: map[string]string{},
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/v2/")
	f.requests = append(f.requests, r.Method+" "+name+" "+r.Header.Get("Range"))
	if f.realm != "" && r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+f.realm+`",service="fake"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if to := f.redirect[name]; to != "" {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return
	}
	data, ok := f.contents[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if mediaType := f.types[name]; mediaType != "" {
		w.Header().Set("Content-Type", mediaType)
	}
	f.send(w, r, name, data)
}

func (f *fakeRegistry) send(w http.ResponseWriter, r *http.Request, name string, data []byte) {
	if f.endless[name] {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}
	if f.digests {
		w.Header().Set("Docker-Content-Digest", string(digest.FromBytes(data)))
	}
	w.Header().Set("Accept-Ranges", "bytes")
	status := http.StatusOK
	if from, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, _, _ = strings.Cut(from, "-")
		n, _ := strconv.Atoi(from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", n, len(data)-1, len(data)))
		data, status = data[n:], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if n := f.cut[name]; n > 0 && n < len(data) {
		_, _ = w.Write(data[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

func (f *fakeRegistry) put(name, mediaType string, data []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	for _, key := range []string{name, strings.Replace(name, "manifests/tag", "manifests/"+string(d.Digest), 1)} {
		f.contents[key], f.types[key] = data, mediaType
	}
	return d
}

func (f *fakeRegistry) blob(mediaType string, data []byte) v1.Descriptor {
	return f.put("r/blobs/"+string(digest.FromBytes(data)), mediaType, data)
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// image puts an image of one layer under the tag "tag".
func (f *fakeRegistry) image(t *testing.T, layer []byte) (manifest, content v1.Descriptor) {
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: f.blob(v1.MediaTypeImageConfig, []byte(`{}`)),
		Layers: []v1.Descriptor{f.blob(v1.MediaTypeImageLayerGzip, layer)},
	}
	return f.put("r/manifests/tag", v1.MediaTypeImageManifest, toJSON(t, m)), m.Layers[0]
}

func (f *fakeRegistry) ref() string { return strings.TrimPrefix(f.URL, "http://") + "/r:tag" }

type into struct {
	path   string
	writer *store.Writer
}

func newLayout(t *testing.T) into {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout")
	if err := store.Create(path); err != nil {
		t.Fatal(err)
	}
	return into{path, openWriter(t, path)}
}

func openWriter(t *testing.T, path string) *store.Writer {
	t.Helper()
	layout, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := layout.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func pull(ctx context.Context, ref string, w *store.Writer, o Options, t Transfer) (v1.Descriptor, error) {
	src, err := OpenSource(ref, o)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer src.Close()
	d, err := src.Resolve(ctx)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return Pull(ctx, src, d, w, t)
}

// blobsIn lists the blobs that a layout has.
func (i into) blobs(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(i.path, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRegistriesThatLie(t *testing.T) {
	layer := bytes.Repeat([]byte("layer "), 1<<12)
	for _, test := range []struct {
		name string
		lie  func(t *testing.T, f *fakeRegistry, manifest, layer v1.Descriptor)
		want string
	}{
		{"another content for a blob", func(_ *testing.T, f *fakeRegistry, _, l v1.Descriptor) {
			f.contents["r/blobs/"+string(l.Digest)] = bytes.Repeat([]byte("lawyer"), 1<<12)
		}, "digest mismatch"},
		{"a blob that is too long", func(_ *testing.T, f *fakeRegistry, _, l v1.Descriptor) {
			f.contents["r/blobs/"+string(l.Digest)] = append(bytes.Clone(layer), '!')
		}, "Content-Length"},
		{"a blob that never ends", func(_ *testing.T, f *fakeRegistry, _, l v1.Descriptor) {
			f.endless["r/blobs/"+string(l.Digest)] = true
		}, "size mismatch"},
		{"a blob that is missing", func(_ *testing.T, f *fakeRegistry, _, l v1.Descriptor) {
			delete(f.contents, "r/blobs/"+string(l.Digest))
		}, "not found"},
		{"a redirect loop", func(_ *testing.T, f *fakeRegistry, _, l v1.Descriptor) {
			f.redirect["r/blobs/"+string(l.Digest)] = "/v2/r/blobs/" + string(l.Digest)
		}, "redirects"},
		{"another content for the manifest", func(_ *testing.T, f *fakeRegistry, m, _ v1.Descriptor) {
			f.contents["r/manifests/"+string(m.Digest)] = bytes.Repeat([]byte(" "), int(m.Size))
		}, "mismatch"},
		{"a manifest that says it is an index", func(t *testing.T, f *fakeRegistry, _, _ v1.Descriptor) {
			f.put("r/manifests/tag", v1.MediaTypeImageManifest, toJSON(t, v1.Index{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
			}))
		}, "announced as"},
		{"a manifest that is an index as well", func(_ *testing.T, f *fakeRegistry, _, _ v1.Descriptor) {
			f.put("r/manifests/tag", v1.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`))
		}, "at once"},
		{"a digest that is a path", func(_ *testing.T, f *fakeRegistry, _, _ v1.Descriptor) {
			f.put("r/manifests/tag", v1.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{"digest":"sha256:../../../x","size":1},"layers":[]}`))
		}, "digest"},
		{"a negative size", func(_ *testing.T, f *fakeRegistry, _, l v1.Descriptor) {
			f.put("r/manifests/tag", v1.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{"digest":"`+string(l.Digest)+`","size":-5},"layers":[]}`))
		}, "size"},
		{"indexes without end", func(t *testing.T, f *fakeRegistry, m, _ v1.Descriptor) {
			for range maxIndexes + 2 {
				m.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
				m = f.put("r/manifests/tag", v1.MediaTypeImageIndex, toJSON(t, v1.Index{
					Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{m},
				}))
			}
		}, "nested"},
		{"an old manifest", func(_ *testing.T, f *fakeRegistry, _, _ v1.Descriptor) {
			f.put("r/manifests/tag", "application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1}`))
		}, "not supported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, to := newFake(t), newLayout(t)
			f.digests = true
			manifest, content := f.image(t, layer)
			test.lie(t, f, manifest, content)
			_, err := pull(t.Context(), f.ref(), to.writer, Options{PlainHTTP: true}, Transfer{Jobs: 2, Platform: "linux/amd64"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("pull: %v, want an error with %q", err, test.want)
			}
			for _, name := range to.blobs(t) {
				if name == content.Digest.Encoded() && test.want != "mismatch" && test.want != "nested" {
					t.Errorf("the layer became visible")
				}
			}
		})
	}
}

// TestPullResumes: a connection that breaks again and again costs no byte
// twice, within one pull and from one to the next.
func TestPullResumes(t *testing.T) {
	layer := bytes.Repeat([]byte("0123456789"), 10_000)
	f, to := newFake(t), newLayout(t)
	manifest, content := f.image(t, layer)
	name := "r/blobs/" + string(content.Digest)
	f.cut[name] = 30_000
	got, err := pull(t.Context(), f.ref(), to.writer, Options{PlainHTTP: true}, Transfer{Jobs: 1})
	if err != nil || got.Digest != manifest.Digest {
		t.Fatalf("pull: %v, %v", got, err)
	}
	var ranges []string
	for _, r := range f.requests {
		if after, ok := strings.CutPrefix(r, "GET "+name+" "); ok {
			ranges = append(ranges, after)
		}
	}
	if all := strings.Join(ranges, ","); !strings.Contains(all, "bytes=90000-") || !strings.Contains(all, "bytes=30000-") {
		t.Errorf("requested %q, want it to go on at 30000, 60000, 90000", all)
	}
}

func TestPullResumesTheNextTime(t *testing.T) {
	layer := bytes.Repeat([]byte("0123456789"), 10_000)
	f, to := newFake(t), newLayout(t)
	_, content := f.image(t, layer)
	name := "r/blobs/" + string(content.Digest)
	f.cut[name] = 30_000
	ctx, cancel := context.WithCancel(t.Context())
	_, err := pull(ctx, f.ref(), to.writer, Options{PlainHTTP: true}, Transfer{Jobs: 1, Report: func(p Progress) {
		if p.Descriptor.Digest == content.Digest && p.Bytes >= 20_000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("pull: %v, want it to be canceled", err)
	}
	to.writer.Close()
	if !store.Resumable(to.path) {
		t.Fatal("nothing is left to resume")
	}
	delete(f.cut, name)
	f.requests = nil
	if _, err := pull(t.Context(), f.ref(), openWriter(t, to.path), Options{PlainHTTP: true}, Transfer{Jobs: 1}); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.requests {
		if r == "GET "+name+" bytes=0-" {
			t.Errorf("began anew: %q", f.requests)
		}
	}
	if store.Resumable(to.path) {
		t.Error("something is left to resume after success")
	}
}

// TestCredentialsStayHome: a registry may not have the password sent to a host
// of its choice, unless the user agrees.
func TestCredentialsStayHome(t *testing.T) {
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen = append(stolen, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"token":"t"}`)
	}))
	defer thief.Close()
	_, thiefPort, _ := strings.Cut(strings.TrimPrefix(thief.URL, "http://"), ":")
	realm := "http://localhost:" + thiefPort + "/token" // another name than 127.0.0.1

	f := newFake(t)
	f.image(t, []byte("layer"))
	f.realm = realm
	host, _, _ := strings.Cut(f.ref(), "/")
	authFile := filepath.Join(t.TempDir(), "auth.json")
	secret := base64.StdEncoding.EncodeToString([]byte("user:secret"))
	if err := os.WriteFile(authFile, []byte(`{"auths":{"`+host+`/r":{"auth":"`+secret+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{PlainHTTP: true, AuthFile: authFile}
	_, err := pull(t.Context(), f.ref(), newLayout(t).writer, o, Transfer{Jobs: 1})
	if !errors.Is(err, ErrForeignHost) || len(stolen) > 0 {
		t.Errorf("pull: %v, sent %q; want a refusal", err, stolen)
	}
	o.AuthHosts = []string{"localhost"}
	if _, err := pull(t.Context(), f.ref(), newLayout(t).writer, o, Transfer{Jobs: 1}); err != nil || len(stolen) == 0 {
		t.Errorf("pull with --auth-host: %v, sent %q", err, stolen)
	}
}

func TestGuardTrusts(t *testing.T) {
	for _, test := range []struct {
		host, to string
		want     bool
	}{
		{"registry-1.docker.io", "auth.docker.io", true},
		{"registry.example.com:5000", "example.com", true},
		{"registry.example.com", "evil.com", false},
		{"registry.example.com", "badexample.com", false},
		{"a.co.uk", "b.co.uk", false},
		{"r.a.co.uk", "auth.a.co.uk", true},
		{"registry", "other", false},
		{"registry:5000", "registry:5001", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"10.0.0.1:1", "20.0.0.1:1", false},
		{"[::1]:5000", "[::1]:5001", true},
	} {
		g := guard{host: test.host}
		if got := g.trusts(test.to); got != test.want {
			t.Errorf("%s trusts %s: %v", test.host, test.to, got)
		}
	}
}

func TestParseRemote(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"alpine", "docker.io/library/alpine:latest"},
		{"user/app:v1", "docker.io/user/app:v1"},
		{"docker://quay.io/a/b/c:x", "quay.io/a/b/c:x"},
		{"localhost/a", "localhost/a:latest"},
		{"host:5000/a", "host:5000/a:latest"},
		{"h.io/a@" + string(digest.FromString("x")), "h.io/a@" + string(digest.FromString("x"))},
		{"", ""}, {"UPPER/case", ""}, {"h.io/", ""}, {"h.io/a:b:c", ""}, {"h.io/../a", ""}, {"h.io/a@sha256:1", ""},
	} {
		ref, err := parseRemote(test.in)
		if got := ref.String(); err == nil && got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("parseRemote(%q) = %q, %v; want %q", test.in, got, err, test.want)
		}
	}
}
