package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/folder"
)

// newLayout makes an empty layout as init does.
func newLayout(t *testing.T) *Layout {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout")
	if err := Create(path); err != nil {
		t.Fatal(err)
	}
	return reopen(t, path)
}

func reopen(t *testing.T, path string) *Layout {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writer(t *testing.T, l *Layout) *Writer {
	t.Helper()
	w, err := l.Write(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// putImage stores a manifest with a config and a layer that nobody else has.
func putImage(t *testing.T, w *Writer, name string) v1.Descriptor {
	t.Helper()
	var blobs []v1.Descriptor
	for _, content := range []string{"config of " + name, "layer of " + name} {
		d, err := w.PutJSON("text/plain", content)
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, d)
	}
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Config: blobs[0], Layers: blobs[1:]}
	m.SchemaVersion = 2
	d, err := w.PutJSON(v1.MediaTypeImageManifest, m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (l *Layout) blobs(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(l.path, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func temps(t *testing.T, l *Layout) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(l.path, tempPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestCreate(t *testing.T) {
	l := newLayout(t)
	for name, want := range map[string]string{
		"index.json": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}` + "\n",
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}` + "\n",
	} {
		if got, err := os.ReadFile(filepath.Join(l.path, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, want %q: %v", name, got, want, err)
		}
	}
	if err := Create(l.path); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create over a layout: %v", err)
	}
	for _, path := range []string{"", "a:b"} {
		if Create(path) == nil {
			t.Errorf("Create(%q) succeeds", path)
		}
	}
}

// Twenty writers, each with a handle of its own as processes have, and a gc
// all the while: every tag and every blob is there in the end.
func TestManyWritersAndGC(t *testing.T) {
	l := newLayout(t)
	const writers = 20
	var all, collecting sync.WaitGroup
	stop := make(chan struct{})
	collecting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := reopen(t, l.path).GC(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range writers {
		all.Go(func() {
			w := writer(t, reopen(t, l.path))
			defer w.Close()
			tag := fmt.Sprintf("tag%d", i)
			d := putImage(t, w, tag)
			time.Sleep(time.Millisecond) // an image without a tag, when gc would like to run
			if err := w.SetTag(tag, d); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(stop)
	collecting.Wait()
	tags, err := l.Tags()
	if err != nil || len(tags) != writers {
		t.Errorf("%d tags of %d: %q, %v", len(tags), writers, tags, err)
	}
	for _, tag := range tags {
		walk, err := l.Resolve(tag)
		if err != nil {
			t.Error(err)
			continue
		}
		var m v1.Manifest
		if err := l.ReadJSON(walk.Target(), &m); err != nil || !l.Has(m.Config) || !l.Has(m.Layers[0]) {
			t.Errorf("%s is not whole: %v", tag, err)
		}
	}
	if got := len(l.blobs(t)); got != 3*writers {
		t.Errorf("%d blobs, want %d", got, 3*writers)
	}
	if left := temps(t, l); left != nil {
		t.Errorf("left %q", left)
	}
}

func TestGCWaitsForWriters(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	d := putImage(t, w, "x")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := reopen(t, l.path).GC(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("gc while a writer is at work: %v", err)
	}
	if !l.Has(d) {
		t.Error("gc removed what a writer is adding")
	}
	w.Close()
	if err := l.GC(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := l.blobs(t); got != nil {
		t.Errorf("gc left %q", got)
	}
}

func TestGCMarks(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	tagged, untagged, nested, lost := putImage(t, w, "tagged"), putImage(t, w, "untagged"), putImage(t, w, "nested"), putImage(t, w, "lost")
	docker := putImage(t, w, "docker")
	docker.MediaType = DockerManifest
	absent := v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString("another platform"), Size: 5}
	list := index(nested, absent)
	outer, err := w.PutJSON(v1.MediaTypeImageIndex, list)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetTag("tagged", tagged); err != nil {
		t.Fatal(err)
	}
	err = w.UpdateIndex(func(index *v1.Index) error {
		index.Manifests = append(index.Manifests, untagged, outer, docker)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	for name, age := range map[string]string{".umoci-killed": "", ".umoci-busy": "", "notes": ""} {
		if err := os.Mkdir(filepath.Join(l.path, name), 0o700); err != nil {
			t.Fatal(name, age, err)
		}
	}
	busy, err := folder.Lock(context.Background(), filepath.Join(l.path, ".umoci-busy"), unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := l.GC(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]v1.Descriptor{"tagged": tagged, "untagged": untagged, "nested": nested, "outer": outer, "docker": docker} {
		if !l.Has(d) {
			t.Errorf("gc removed %s", name)
		}
	}
	if l.Has(lost) {
		t.Error("gc kept what nothing refers to")
	}
	if got, want := len(l.blobs(t)), 4*3+1; got != want {
		t.Errorf("%d blobs, want %d", got, want)
	}
	for name, want := range map[string]bool{".umoci-killed": false, ".umoci-busy": true, "notes": true} {
		if _, err := os.Lstat(filepath.Join(l.path, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
}

// A writer that is killed leaves index.json.new: the next one replaces it,
// also where somebody has put a link, and gc removes it.
func TestUnfinishedIndexIsReplaced(t *testing.T) {
	l := newLayout(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(l.path, newIndexName)
	if err := os.Symlink(victim, left); err != nil {
		t.Fatal(err)
	}
	w := writer(t, l)
	if err := w.SetTag("x", putImage(t, w, "x")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if data, err := os.ReadFile(victim); err != nil || string(data) != "mine" {
		t.Errorf("the link was followed: %q, %v", data, err)
	}
	if tags, err := l.Tags(); err != nil || !slices.Equal(tags, []string{"x"}) {
		t.Errorf("tags %q, %v", tags, err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was left: %v", left, err)
	}
	if err := os.WriteFile(left, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.GC(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gc left %s: %v", left, err)
	}
}

// What cannot be understood may refer to anything: nothing is removed.
func TestGCKeepsAllOfADamagedLayout(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	d := putImage(t, w, "x")
	putImage(t, w, "unreferenced")
	if err := w.SetTag("x", d); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := os.WriteFile(filepath.Join(l.path, "blobs", "sha256", d.Digest.Encoded()), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := l.blobs(t)
	if err := l.GC(context.Background()); !errors.Is(err, ErrSizeMismatch) {
		t.Errorf("gc: %v", err)
	}
	if after := l.blobs(t); !slices.Equal(before, after) {
		t.Errorf("gc removed blobs of a damaged layout")
	}
}

func TestRollback(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	defer w.Close()
	var commits []v1.Descriptor
	for i := range 5 {
		d := putImage(t, w, fmt.Sprint(i))
		commits = append(commits, d)
		move := w.CommitTag
		if i == 3 {
			move = w.SetTag // config or insert, of a tag that remembers
		}
		if err := move("t", d); err != nil {
			t.Fatal(err)
		}
	}
	at := func(want int) {
		t.Helper()
		walk, err := l.Resolve("t")
		if err != nil || walk.Target().Digest != commits[want].Digest {
			t.Errorf("tag names %v, want commit %d: %v", walk, want, err)
		}
	}
	for _, step := range []struct{ n, want int }{{1, 3}, {2, 1}, {-1, 2}, {-2, 4}, {4, 0}, {-4, 4}} {
		if _, err := w.Rollback("t", step.n); err != nil {
			t.Fatal(err)
		}
		at(step.want)
	}
	for _, n := range []int{5, -1, 0} {
		if _, err := w.Rollback("t", n); !errors.Is(err, ErrNoEarlier) {
			t.Errorf("Rollback(%d): %v", n, err)
		}
		at(4)
	}
	if err := w.CopyTag("t", "copy"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rollback("copy", 1); !errors.Is(err, ErrNoEarlier) {
		t.Errorf("a copied tag remembers what it never named: %v", err)
	}
	if _, err := w.Rollback("none", 1); err == nil || !strings.Contains(err.Error(), "tag not found") {
		t.Errorf("Rollback of an unknown tag: %v", err)
	}
}

func TestRollbackAfterGC(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	for _, name := range []string{"a", "b"} {
		if err := w.CommitTag("t", putImage(t, w, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if err := l.GC(context.Background()); err != nil {
		t.Fatal(err)
	}
	w = writer(t, l)
	defer w.Close()
	if _, err := w.Rollback("t", 1); err == nil || !strings.Contains(err.Error(), "removed by gc") {
		t.Errorf("Rollback: %v", err)
	}
}

func TestTagsAreReplacedAndRemoved(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	defer w.Close()
	d := putImage(t, w, "x")
	for _, tag := range []string{"a", "b", "a"} {
		if err := w.SetTag(tag, d); err != nil {
			t.Fatal(err)
		}
	}
	if tags, err := l.Tags(); err != nil || !slices.Equal(tags, []string{"b", "a"}) {
		t.Errorf("Tags = %q, %v", tags, err)
	}
	for range 2 {
		if err := w.RemoveTag("b"); err != nil {
			t.Error(err)
		}
	}
	if tags, err := l.Tags(); err != nil || !slices.Equal(tags, []string{"a"}) {
		t.Errorf("Tags = %q, %v", tags, err)
	}
	if err := w.SetTag("../x", d); err == nil {
		t.Error("a tag that is no tag is set")
	}
	if l.blobs(t) == nil {
		t.Error("removing a tag removes blobs")
	}
}

func TestIngest(t *testing.T) {
	content := []byte("content of a blob")
	right := v1.Descriptor{MediaType: "text/plain", Digest: digest.FromBytes(content), Size: int64(len(content))}
	for _, test := range []struct {
		name string
		d    func(d v1.Descriptor) v1.Descriptor
		r    io.Reader
		want error
	}{
		{"as described", nil, bytes.NewReader(content), nil},
		{"in single bytes", nil, iotest.OneByteReader(bytes.NewReader(content)), nil},
		{"SHA-512", func(d v1.Descriptor) v1.Descriptor { d.Digest = digest.SHA512.FromBytes(content); return d }, bytes.NewReader(content), nil},
		{"other bytes", nil, strings.NewReader("c0ntent of a blob"), ErrDigestMismatch},
		{"too short", nil, strings.NewReader("content"), ErrSizeMismatch},
		{"endless", nil, io.MultiReader(bytes.NewReader(content), zeros{}), ErrSizeMismatch},
		{"broken off", nil, iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(content))), iotest.ErrTimeout},
		{"a digest that is a path", func(d v1.Descriptor) v1.Descriptor { d.Digest = "sha256:../../x"; return d }, bytes.NewReader(content), digest.ErrDigestInvalidLength},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLayout(t)
			w := writer(t, l)
			defer w.Close()
			d := right
			if test.d != nil {
				d = test.d(d)
			}
			if err := w.Ingest(d, test.r); !errors.Is(err, test.want) {
				t.Errorf("Ingest: %v, want %v", err, test.want)
			}
			if l.Has(d) != (test.want == nil) {
				t.Errorf("the layout has the blob: %v", l.Has(d))
			}
			if test.want != nil && l.blobs(t) != nil {
				t.Errorf("left %q", l.blobs(t))
			}
		})
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What is not committed leaves nothing, and what is has the umask's mode.
func TestAbortAndUmask(t *testing.T) {
	l := newLayout(t)
	defer unix.Umask(unix.Umask(0o027))
	w := writer(t, l)
	b, err := w.NewBlob()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b.Abort()
	d := putImage(t, w, "x")
	w.Close()
	if left := temps(t, l); left != nil {
		t.Errorf("left %q", left)
	}
	if got := len(l.blobs(t)); got != 3 {
		t.Errorf("%d blobs, want 3", got)
	}
	info, err := os.Stat(filepath.Join(l.path, "blobs", "sha256", d.Digest.Encoded()))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("a blob's mode is %o, want 640: %v", info.Mode().Perm(), err)
	}
}

// A layout of a user stays theirs when root writes to it.
func TestOwnerOfTheLayout(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown")
	}
	l := newLayout(t)
	err := filepath.Walk(l.path, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chown(path, 1000, 1001))
	})
	if err != nil {
		t.Fatal(err)
	}
	w := writer(t, l)
	defer w.Close()
	if err := w.SetTag("x", putImage(t, w, "x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Ingest(v1.Descriptor{Digest: digest.SHA512.FromString("y"), Size: 1}, strings.NewReader("y")); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(l.blobs(t), "../sha512", "../../index.json") {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(l.path, "blobs", "sha256", path), &st); err != nil || st.Uid != 1000 || st.Gid != 1001 {
			t.Errorf("%s belongs to %d:%d: %v", path, st.Uid, st.Gid, err)
		}
	}
}

func TestUnknownTagNamesNearOnes(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	defer w.Close()
	d := putImage(t, w, "x")
	for _, tag := range []string{"latest", "v1.0", "v1.1", "other"} {
		if err := w.SetTag(tag, d); err != nil {
			t.Fatal(err)
		}
	}
	for tag, want := range map[string]string{"lates": "did you mean latest?", "v1.2": "did you mean v1.0, v1.1?", "V1.0": "v1.0", "zzz": "tag not found: zzz"} {
		if _, err := l.Resolve(tag); err == nil || !strings.Contains(err.Error(), want) || (tag == "zzz" && strings.Contains(err.Error(), "mean")) {
			t.Errorf("Resolve(%s): %v, want %q", tag, err, want)
		}
	}
}

func TestResolvePlatformAndDigest(t *testing.T) {
	l := newLayout(t)
	w := writer(t, l)
	defer w.Close()
	platform := func(name, os, arch, variant string) v1.Descriptor {
		d := putImage(t, w, name)
		d.Platform = &v1.Platform{OS: os, Architecture: arch, Variant: variant}
		return d
	}
	one, two, three := platform("one", "linux", "arm", "v7"), platform("two", "linux", "s390x", ""), platform("three", "linux", "arm", "v6")
	list, err := w.PutJSON(v1.MediaTypeImageIndex, index(one, two, three))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetTag("list", list); err != nil {
		t.Fatal(err)
	}
	plain := putImage(t, w, "untagged")
	for _, test := range []struct {
		tag, platform string
		want          digest.Digest
		wantErr       string
	}{
		{"list", "linux/s390x", two.Digest, ""},
		{"list", "linux/arm/v7", one.Digest, ""},
		{"list", "linux/arm", "", "ambiguous"},
		{"list", "plan9/386", "", "linux/arm/v7, linux/s390x, linux/arm/v6"},
		{string(plain.Digest), "", plain.Digest, ""},
		{string(list.Digest), "linux/s390x", two.Digest, ""},
		{string(digest.FromString("none")), "", "", "tag not found"},
	} {
		walk, err := l.ResolvePlatform(test.tag, test.platform)
		if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
			t.Errorf("ResolvePlatform(%s, %s): %v, want %q", test.tag, test.platform, err, test.wantErr)
		}
		if err == nil && walk.Target().Digest != test.want {
			t.Errorf("ResolvePlatform(%s, %s) = %v", test.tag, test.platform, walk.Target())
		}
	}
}

// FuzzWalk: whatever index.json and the blobs say, the walk and gc end, and gc
// removes nothing it should not.
func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"annotations":{"org.opencontainers.image.ref.name":"t"}}]}`), []byte(`{}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:0","size":-1}]}`), []byte(`{"manifests":[{}]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`), []byte(`[]`))
	path := filepath.Join(f.TempDir(), "l")
	if err := Create(path); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, indexJSON, blob []byte) {
		l := &Layout{path: path}
		id := digest.FromBytes(blob)
		if err := os.WriteFile(filepath.Join(path, "blobs", "sha256", id.Encoded()), blob, 0o600); err != nil {
			t.Fatal(err)
		}
		// Writing over a file would wait for the disk: ext4's auto_da_alloc.
		_ = os.Remove(filepath.Join(path, "index.json"))
		if err := os.WriteFile(filepath.Join(path, "index.json"), indexJSON, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = l.Resolve("t")
		_, _ = l.Resolve(string(id))
		tags, _ := l.Tags()
		for _, tag := range tags {
			_, _ = l.Resolve(tag)
			_, _ = l.Previous(tag)
		}
		referred := bytes.Contains(indexJSON, []byte(id))
		err := l.GC(context.Background())
		if _, gone := os.Stat(filepath.Join(path, "blobs", "sha256", id.Encoded())); gone != nil && err != nil {
			t.Errorf("gc failed (%v) and removed a blob", err)
		} else if gone != nil && referred {
			if idx, err := l.Index(); err == nil && slices.ContainsFunc(idx.Manifests, func(d v1.Descriptor) bool { return d.Digest == id }) {
				t.Error("gc removed what index.json refers to")
			}
		}
	})
}
