package layer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// sample is data that compresses somewhat, and not evenly.
func sample(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 0, size)
	for len(data) < size {
		if random.IntN(3) == 0 && len(data) > 100 {
			from := random.IntN(len(data) - 50)
			data = append(data, data[from:from+50]...)
			continue
		}
		data = append(data, byte(random.IntN(256)))
	}
	return data[:size]
}

func compressed(t *testing.T, c Compression, data []byte, portion int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := Compress(&out, c)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n := min(portion, len(data))
		if _, err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A layer is the same bytes whoever writes it, on however many cores.
func TestCompressIsReproducible(t *testing.T) {
	for _, c := range []Compression{None, Gzip, Zstd} {
		for _, size := range []int{0, 1, gzipBlock - 1, gzipBlock, gzipBlock + 1, 5*gzipBlock + 77} {
			data := sample(size)
			var want []byte
			for _, portion := range []int{size + 1, 512, 100000, gzipBlock} {
				for _, cores := range []int{1, 4} {
					old := runtime.GOMAXPROCS(cores)
					got := compressed(t, c, data, portion)
					runtime.GOMAXPROCS(old)
					if want == nil {
						want = got
					}
					if !bytes.Equal(got, want) {
						t.Errorf("compression %d of %d bytes in portions of %d on %d cores differs", c, size, portion, cores)
					}
				}
			}
			plain, was, err := Uncompressed(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(plain)
			plain.Close()
			if err != nil || was != c || !bytes.Equal(got, data) {
				t.Errorf("compression %d of %d bytes: read back %d: %v", c, size, len(got), err)
			}
		}
	}
}

// Others have to read it: Go's own decoder, and gzip(1).
func TestGzipIsReadByOthers(t *testing.T) {
	data := sample(3*gzipBlock + 5)
	packed := compressed(t, Gzip, data, 4096)
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Errorf("compress/gzip reads %d bytes: %v", len(got), err)
	}
	cmd := exec.Command("gzip", "-dc")
	cmd.Stdin = bytes.NewReader(packed)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, data) {
		t.Errorf("gzip reads %d bytes: %v", len(got), err)
	}
	if len(packed) > len(data) {
		t.Errorf("%d bytes became %d", len(data), len(packed))
	}
}

type failingWriter struct{ after int }

var errFull = errors.New("disk full")

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// A full disk ends the writer with its error, and no goroutine waits forever.
func TestCompressToAFullDisk(t *testing.T) {
	data := sample(8 * gzipBlock)
	for _, c := range []Compression{None, Gzip, Zstd} {
		for _, after := range []int{0, 5, 100, 2 * gzipBlock} {
			t.Run(fmt.Sprint(c, after), func(t *testing.T) {
				before := runtime.NumGoroutine()
				w, err := Compress(&failingWriter{after}, c)
				if err != nil {
					t.Fatal(err)
				}
				_, writeErr := w.Write(data)
				closeErr := w.Close()
				if !errors.Is(writeErr, errFull) && !errors.Is(closeErr, errFull) {
					t.Errorf("Write: %v, Close: %v; want %v", writeErr, closeErr, errFull)
				}
				for range 1000 {
					if runtime.NumGoroutine() <= before {
						return
					}
					runtime.Gosched()
				}
			})
		}
	}
}

func TestCompressionOf(t *testing.T) {
	for mediaType, want := range map[string]Compression{
		v1.MediaTypeImageLayer:     None,
		v1.MediaTypeImageLayerGzip: Gzip,
		v1.MediaTypeImageLayerZstd: Zstd,
		dockerGzip:                 Gzip,
		foreignZstd:                Zstd,
		"text/plain":               Unknown,
	} {
		if got := CompressionOf(mediaType); got != want {
			t.Errorf("CompressionOf(%s) = %d, want %d", mediaType, got, want)
		}
	}
}
