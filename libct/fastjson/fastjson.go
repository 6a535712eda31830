// Package fastjson is what easyjson's generated code runs on, without what a
// container's start should not pay for.
//
// encoding/json builds tables by reflection when it first meets a type: 0.7 ms
// for a config.json, several times what reading it costs, and twice a start.
// easyjson generates the code instead, but its own packages link net and
// net/http. So its lexer is used as it is, and the writer is this one.
//
// A leaf. It knows no type; generate makes the code (see there).
package fastjson

import "github.com/mailru/easyjson/jlexer"

// Marshaler is a type with a generated encoder.
type Marshaler interface{ MarshalEasyJSON(w *Writer) }

// Unmarshaler is a type with a generated decoder.
type Unmarshaler interface{ UnmarshalEasyJSON(l *jlexer.Lexer) }

// Marshal encodes v. Map entries come in no particular order.
func Marshal(v Marshaler) ([]byte, error) {
	w := &Writer{}
	v.MarshalEasyJSON(w)
	return result(w)
}

// Unmarshal decodes data into v; unknown properties are ignored. The lexer is
// laxer than RFC 8259 in places: bytes from outside need [encoding/json.Valid]
// first.
func Unmarshal(data []byte, v Unmarshaler) error {
	l := jlexer.Lexer{Data: data}
	v.UnmarshalEasyJSON(&l)
	l.Consumed()
	return l.Error()
}
