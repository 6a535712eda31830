//go:build easyjson_gen

package fastjson

import "github.com/mailru/easyjson/jwriter"

// Writer is easyjson's while its generator compiles the packages with stubs.
type Writer = jwriter.Writer

func result(w *Writer) ([]byte, error) { return w.BuildBytes() }

// As in writer.go.
const (
	NilMapAsEmpty   = jwriter.NilMapAsEmpty
	NilSliceAsEmpty = jwriter.NilSliceAsEmpty
)
