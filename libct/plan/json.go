package plan

import (
	"errors"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Generated code; package fastjson says why.

//go:generate ../fastjson/generate zjson.go json.go
//go:generate ../fastjson/generate zplan.go plan.go
//go:generate ../fastjson/generate zboot.go boot.go

//easyjson:json
type specDocument struct{ specs.Spec }

//easyjson:json
type processDocument struct{ specs.Process }

// decodeFast decodes what [decode] may be given. An error says only that
// encoding/json should be asked: it explains better.
func decodeFast(data []byte, into any) error {
	switch into := into.(type) {
	case *specs.Spec:
		var d specDocument
		if err := fastjson.Unmarshal(data, &d); err != nil {
			return err
		}
		*into = d.Spec
	case *specs.Process:
		var d processDocument
		if err := fastjson.Unmarshal(data, &d); err != nil {
			return err
		}
		*into = d.Process
	default:
		return errors.ErrUnsupported
	}
	return nil
}
