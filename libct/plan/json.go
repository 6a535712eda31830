package plan

import (
	"errors"

	"github.com/mailru/easyjson"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// The first use of encoding/json on a type builds tables by reflection: 0.7 ms
// for a config.json, several times what reading it costs. Every start would
// pay that twice, so the code is generated.

//go:generate go tool easyjson -no_std_marshalers -output_filename zjson.go json.go
//go:generate go tool easyjson -no_std_marshalers -output_filename zplan.go plan.go
//go:generate go tool easyjson -no_std_marshalers -output_filename zboot.go boot.go

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
		if err := easyjson.Unmarshal(data, &d); err != nil {
			return err
		}
		*into = d.Spec
	case *specs.Process:
		var d processDocument
		if err := easyjson.Unmarshal(data, &d); err != nil {
			return err
		}
		*into = d.Process
	default:
		return errors.ErrUnsupported
	}
	return nil
}
