package plan

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// ReadConfig reads and decodes config.json of the bundle at dir.
func ReadConfig(dir string) (*specs.Spec, error) { return nil, errors.New("being written") }

// ReadProcess reads and decodes the process of `exec --process path`.
func ReadProcess(path string) (*specs.Process, error) { return nil, errors.New("being written") }

// Decode parses config.json. Unknown properties are ignored;
// config.md#extensibility.
func Decode(data []byte) (*specs.Spec, error) { return nil, errors.New("being written") }

// DecodeProcess parses the process of an exec.
func DecodeProcess(data []byte) (*specs.Process, error) { return nil, errors.New("being written") }

// ValidID checks a container's id.
func ValidID(id string) error { return errors.New("being written") }
