//go:build !easyjson_gen

package fastjson

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// Writer collects one document. The methods are those that generated code
// calls.
type Writer struct {
	Flags Flags
	Error error // the first one
	buf   []byte
}

// Flags are asked for by generated code and never set.
type Flags int

// What generated code asks for.
const (
	NilMapAsEmpty Flags = 1 << iota
	NilSliceAsEmpty
)

func result(w *Writer) ([]byte, error) { return w.buf, w.Error }

// RawByte writes c as it is.
func (w *Writer) RawByte(c byte) { w.buf = append(w.buf, c) }

// RawString writes s as it is.
func (w *Writer) RawString(s string) { w.buf = append(w.buf, s...) }

// Raw writes a document that somebody else encoded.
func (w *Writer) Raw(data []byte, err error) {
	switch {
	case w.Error != nil:
	case err != nil:
		w.Error = err
	case len(data) == 0:
		w.RawString("null")
	default:
		w.buf = append(w.buf, data...)
	}
}

// Bool writes true or false.
func (w *Writer) Bool(v bool) { w.buf = strconv.AppendBool(w.buf, v) }

// Int writes a number.
func (w *Writer) Int(v int) { w.Int64(int64(v)) }

// Int32 writes a number.
func (w *Writer) Int32(v int32) { w.Int64(int64(v)) }

// Int64 writes a number.
func (w *Writer) Int64(v int64) { w.buf = strconv.AppendInt(w.buf, v, 10) }

// Uint writes a number.
func (w *Writer) Uint(v uint) { w.Uint64(uint64(v)) }

// Uint8 writes a number.
func (w *Writer) Uint8(v uint8) { w.Uint64(uint64(v)) }

// Uint16 writes a number.
func (w *Writer) Uint16(v uint16) { w.Uint64(uint64(v)) }

// Uint32 writes a number.
func (w *Writer) Uint32(v uint32) { w.Uint64(uint64(v)) }

// Uint64 writes a number.
func (w *Writer) Uint64(v uint64) { w.buf = strconv.AppendUint(w.buf, v, 10) }

// String writes s in quotes. Invalid UTF-8 becomes U+FFFD, as in encoding/json.
func (w *Writer) String(s string) {
	const hex = "0123456789abcdef"
	w.RawByte('"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				w.RawString(s[start:i])
				w.RawString(`\ufffd`)
				start = i + size
			}
			i += size
			continue
		}
		i++
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.RawString(s[start : i-1])
		start = i
		if c < ' ' {
			w.buf = append(w.buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			w.buf = append(w.buf, '\\', c)
		}
	}
	w.RawString(s[start:])
	w.RawByte('"')
}

// Base64Bytes writes data as encoding/json does.
func (w *Writer) Base64Bytes(data []byte) {
	if data == nil {
		w.RawString("null")
		return
	}
	w.RawByte('"')
	w.buf = base64.StdEncoding.AppendEncode(w.buf, data)
	w.RawByte('"')
}
