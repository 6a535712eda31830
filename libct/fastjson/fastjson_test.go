package fastjson

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"unicode/utf8"
)

type encoder func(w *Writer)

func (e encoder) MarshalEasyJSON(w *Writer) { e(w) }

// FuzzString encodes hostile strings and decodes them by encoding/json.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é \u2028 漢 🎉", "\xff\xc0bad", "</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		data, err := Marshal(encoder(func(w *Writer) { w.String(s) }))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if utf8.ValidString(s) && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestNumbersAndRaw(t *testing.T) {
	data, err := Marshal(encoder(func(w *Writer) {
		w.RawByte('[')
		w.Int64(math.MinInt64)
		w.RawByte(',')
		w.Uint64(math.MaxUint64)
		w.RawByte(',')
		w.Bool(true)
		w.RawByte(',')
		w.Raw(nil, nil)
		w.RawByte(',')
		w.Raw([]byte(`{"a":1}`), nil)
		w.RawByte(']')
	}))
	const want = `[-9223372036854775808,18446744073709551615,true,null,{"a":1}]`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v; want %s", data, err, want)
	}
}

func TestTheFirstErrorIsKept(t *testing.T) {
	broken := errors.New("broken")
	_, err := Marshal(encoder(func(w *Writer) {
		w.Raw(nil, broken)
		w.Raw(nil, errors.New("later"))
	}))
	if !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
