package gunzip

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const plainHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// decoded is what a reader makes of a stream.
func decoded(source io.Reader) ([]byte, error) { return io.ReadAll(NewReader(source)) }

// inPieces decodes into buffers with little room.
func inPieces(data []byte) (out []byte, err error) {
	r, buf := NewReader(bytes.NewReader(data)), new(Buffer)
	for err == nil {
		at := BufferSize - MinRoom - 1 - len(out)%100
		copy(buf[at-min(len(out), Window):], out[max(0, len(out)-Window):])
		var n int
		n, err = r.Next(buf, at)
		out = append(out, buf[at:at+n]...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}

// check compares with the standard library, reading in several ways.
func check(t *testing.T, data []byte) {
	t.Helper()
	var want []byte
	standard, wantErr := gzip.NewReader(bytes.NewReader(data))
	if wantErr == nil {
		want, wantErr = io.ReadAll(standard)
	}
	for name, read := range map[string]func() ([]byte, error){
		"at once":        func() ([]byte, error) { return decoded(bytes.NewReader(data)) },
		"byte by byte":   func() ([]byte, error) { return decoded(iotest.OneByteReader(bytes.NewReader(data))) },
		"end with bytes": func() ([]byte, error) { return decoded(iotest.DataErrReader(bytes.NewReader(data))) },
		"in pieces":      func() ([]byte, error) { return inPieces(data) },
	} {
		got, err := read()
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, compress/gzip says %v", name, err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes, compress/gzip has %d others", name, len(got), len(want))
		}
	}
}

func packed(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// samples are contents that compress in different ways.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	skewed := make([]byte, 500_000) // has long codes
	for i := range skewed {
		skewed[i] = byte(random.ExpFloat64() * 7)
	}
	var periods []byte
	for p := 1; p < 300; p++ {
		periods = append(periods, bytes.Repeat(noise[p:2*p], 700/p+2)...)
	}
	return map[string][]byte{
		"nothing": nil, "a byte": {7}, "zeros": make([]byte, 1<<20), "noise": noise, "skewed": skewed, "periods": periods,
		"as far back as it goes": bytes.Repeat(noise[:Window], 4), "further back": bytes.Repeat(noise[:Window+1], 3),
	}
}

func TestSameAsStandardLibrary(t *testing.T) {
	for name, data := range samples() {
		t.Run(name, func(t *testing.T) {
			for _, level := range []int{gzip.HuffmanOnly, gzip.NoCompression, 1, 6, 9} {
				check(t, packed(t, level, data))
			}
		})
	}
}

func TestMembersAndHeaders(t *testing.T) {
	one := packed(t, 6, []byte(strings.Repeat("one ", 30)))
	two := packed(t, 6, []byte(strings.Repeat("two ", 30)))
	var named bytes.Buffer
	w := gzip.NewWriter(&named)
	w.Name, w.Comment, w.Extra = "name", "comment", bytes.Repeat([]byte("x"), 1<<16-1)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	flags := func(set byte, more string) []byte {
		data := slices.Concat([]byte(plainHeader), []byte(more), one[10:])
		data[3] = set
		return data
	}
	sum := binary.LittleEndian.AppendUint16(nil, uint16(crc32.ChecksumIEEE([]byte("\x1f\x8b\x08\x02\x00\x00\x00\x00\x00\xff"))))
	wrongSum, wrongSize := slices.Clone(one), slices.Clone(one)
	wrongSum[len(one)-5]++
	wrongSize[len(one)-1]++
	matchBefore := slices.Concat(one, []byte(plainHeader), bitsOf("1 10 0000001 00011 0000000"), make([]byte, 8))
	for name, data := range map[string][]byte{
		"empty": nil, "one": one, "two": slices.Concat(one, two), "a hundred": bytes.Repeat(one, 100),
		"with names": named.Bytes(), "cut name": slices.Concat(one, named.Bytes()[:10]), "junk": slices.Concat(one, []byte("junk")),
		"zeros": slices.Concat(one, make([]byte, 512)), "magic alone": one[:2], "second header alone": slices.Concat(one, one[:5]),
		"wrong checksum": wrongSum, "wrong size": wrongSize, "match into the member before": matchBefore,
		"name": flags(flagName, "a name\x00"), "endless name": flags(flagName, strings.Repeat("x", 1000)),
		"name of 511":   flags(flagName, strings.Repeat("x", 511)+"\x00"),
		"name of 512":   flags(flagName, strings.Repeat("x", 512)+"\x00"),
		"header's sum":  flags(flagHeaderCRC, string(sum)),
		"another's sum": flags(flagHeaderCRC, "ab"),
		"plain text":    flags(1, ""),
		"not deflate":   slices.Concat([]byte("\x1f\x8b\x07"), one[3:]),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "empty" { // for compress/gzip no stream at all, io.EOF
				if _, err := decoded(bytes.NewReader(data)); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Error(err)
				}
				return
			}
			check(t, data)
			for n := 1; n < min(len(data), 200); n++ {
				check(t, data[:n])
			}
		})
	}
	// The standard library ignores those flags.
	if _, err := decoded(bytes.NewReader(flags(0x20, ""))); !errors.Is(err, gzip.ErrHeader) {
		t.Errorf("reserved flag: %v", err)
	}
}

// bitsOf is a stream given by its bits, in order; spaces are for the reader.
func bitsOf(s string) []byte {
	s = strings.ReplaceAll(s, " ", "")
	out := make([]byte, (len(s)+7)/8)
	for i, c := range s {
		out[i/8] |= byte(c-'0') << (i % 8)
	}
	return out
}

// blocks are streams of deflate that test its edges.
func blocks() map[string][]byte {
	// 19 code lengths, in the order of the RFC: 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1 15.
	const some = "010 000 010 000 000 000 000 000 000 000 000 000 000 000 000 000 000 010 000" // 16, 18, 1 (and none more): incomplete
	const full = "010 000 010 010 000 000 000 000 000 000 000 000 000 000 000 000 000 010 000" // 0: 00, 1: 01, 16: 10, 18: 11
	zeros := func(n int) string {                                                              // by symbol 18
		var s strings.Builder
		for n > 0 {
			m := min(n, 138)
			if n-m > 0 && n-m < 11 {
				m -= 11
			}
			s.WriteString("11 ")
			for i := range 7 {
				s.WriteByte(byte('0' + (m-11)>>i&1))
			}
			n -= m
		}
		return s.String()
	}
	dynamic := func(lits, dists, rest string) []byte { return bitsOf("1 01 " + lits + dists + "1111 " + rest) }
	return map[string][]byte{
		"reserved type":                    bitsOf("1 11"),
		"stored":                           []byte("\x01\x03\x00\xfc\xffabc"),
		"stored, lengths differ":           []byte("\x01\x03\x00\xfc\xfeabc"),
		"stored, cut":                      []byte("\x01\x03\x00\xfc\xffab"),
		"stored, empty, then fixed":        append([]byte("\x00\x00\x00\xff\xff"), bitsOf("1 10 0000000")...),
		"fixed, empty":                     bitsOf("1 10 0000000"),
		"fixed, length symbol 286":         bitsOf("1 10 11000110 00000 0000000"),
		"fixed, distance symbol 30":        bitsOf("1 10 00110000 0000001 01111 0000000"),
		"fixed, before the beginning":      bitsOf("1 10 00110000 0000001 00001 0000000"),
		"fixed, distance 1":                bitsOf("1 10 00110000 0000001 00000 0000000"),
		"fixed, 258 by symbol 285":         bitsOf("1 10 00110000 11000101 00000 0000000"),
		"fixed, 258 by symbol 284":         bitsOf("1 10 00110000 11000100 11111 00000 0000000"),
		"dynamic, incomplete code lengths": dynamic("00000", "00000", some),
		"dynamic, 288 literals":            dynamic("11111", "00000", full+zeros(256)+"01 00 00"),
		"dynamic, 31 distances":            dynamic("00000", "01111", full+zeros(256)+"01"+zeros(31)),
		"dynamic, repeat of nothing":       dynamic("00000", "00000", full+"10 00"),
		"dynamic, too many lengths":        dynamic("00000", "00000", full+zeros(250)+"11 1111111"),
		"dynamic, end of block alone":      dynamic("00000", "00000", full+zeros(256)+"01 00 0"),
		"dynamic, the code that is not":    dynamic("00000", "00000", full+zeros(256)+"01 00 1"),
		"dynamic, no end of block":         dynamic("00000", "00000", full+"01"+zeros(256)+"00 0000"),
		"dynamic, no codes at all":         dynamic("00000", "00000", full+zeros(258)),
		"dynamic, too many codes":          dynamic("00000", "00000", full+"01 01"+zeros(254)+"01 00 0"),
		"dynamic, one distance":            dynamic("10000", "00000", full+zeros(256)+"01 01 01 0 10 00"),
		"dynamic, no distance, but used":   dynamic("10000", "00000", full+zeros(256)+"01 01 00 1 0 0"),
	}
}

// checkDeflate compares with compress/flate: what it takes gets a header and a
// trailer and must be taken, what it refuses must be refused for the same
// reason.
func checkDeflate(t *testing.T, data []byte) {
	t.Helper()
	source := bytes.NewReader(data)
	want, wantErr := io.ReadAll(flate.NewReader(source))
	if len(want) > 10<<20 {
		return
	}
	if wantErr == nil {
		data = data[:len(data)-source.Len()]
		data = binary.LittleEndian.AppendUint32(slices.Clone(data), crc32.ChecksumIEEE(want))
		data = binary.LittleEndian.AppendUint32(data, uint32(len(want)))
	}
	data = slices.Concat([]byte(plainHeader), data)
	for _, read := range []func([]byte) ([]byte, error){
		func(data []byte) ([]byte, error) { return decoded(bytes.NewReader(data)) },
		func(data []byte) ([]byte, error) { return decoded(iotest.OneByteReader(bytes.NewReader(data))) },
		inPieces,
	} {
		got, err := read(data)
		if corrupt := errors.As(wantErr, new(flate.CorruptInputError)); (wantErr == nil) != (err == nil) || (corrupt && !errors.Is(err, errCorrupt)) {
			t.Fatalf("%v, compress/flate says %v", err, wantErr)
		}
		if common := min(len(got), len(want)); wantErr == nil && len(got) != len(want) || !bytes.Equal(got[:common], want[:common]) {
			t.Fatalf("%d bytes, compress/flate has %d others", len(got), len(want))
		}
	}
}

func TestBlocks(t *testing.T) {
	for name, data := range blocks() {
		t.Run(name, func(t *testing.T) {
			checkDeflate(t, data)
			checkDeflate(t, append(slices.Clone(data), make([]byte, 64)...))
		})
	}
}

func TestErrorOfSource(t *testing.T) {
	broken := errors.New("broken")
	data := packed(t, 6, samples()["skewed"])
	for _, n := range []int{0, 5, 15, 100, len(data) / 2, len(data) - 4, len(data)} {
		_, err := decoded(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func FuzzDeflate(f *testing.F) {
	for _, data := range blocks() {
		f.Add(data)
	}
	for _, data := range samples() {
		for _, level := range []int{gzip.HuffmanOnly, 1, 6} {
			f.Add(packed(f, level, data[:min(len(data), 5000)])[10:])
		}
	}
	f.Fuzz(checkDeflate)
}

func FuzzGzip(f *testing.F) {
	one := packed(f, 6, []byte("one"))
	f.Add(one)
	f.Add(slices.Concat(one, one))
	f.Fuzz(func(t *testing.T, data []byte) {
		for at := range data { // the standard library takes reserved flags
			if bytes.HasPrefix(data[at:], []byte(plainHeader[:3])) && len(data) > at+3 && data[at+3]&flagsReserved != 0 {
				return
			}
		}
		check(t, data)
	})
}

func BenchmarkReader(b *testing.B) {
	for name, data := range samples() {
		packed := packed(b, 6, bytes.Repeat(data, 10))
		b.Run(name, func(b *testing.B) {
			buf := new(Buffer)
			b.SetBytes(int64(len(data) * 10))
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(packed)), error(nil)
				for n := 0; err == nil; copy(buf[:], buf[n:n+Window]) {
					n, err = r.Next(buf, Window)
				}
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
		})
	}
}
