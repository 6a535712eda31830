package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What a document may be; far above every config an engine writes.
const (
	maxDocument = 16 << 20 // bytes
	maxNesting  = 64
)

// ReadConfig reads and decodes config.json of the bundle at dir.
func ReadConfig(dir string) (*specs.Spec, error) {
	data, err := readDocument(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

// ReadProcess reads and decodes the process of `exec --process path`; the
// path may be a pipe, such as /dev/fd/3.
func ReadProcess(path string) (*specs.Process, error) {
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	return DecodeProcess(data)
}

func readDocument(path string) ([]byte, error) {
	// A FIFO without a writer must not stall config.json; a pipe given as
	// /dev/fd/N has its writer and is read to its end.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		_ = unix.SetNonblock(fd, false) // or the runtime makes a poller, for nothing
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var buf bytes.Buffer
	buf.Grow(8 << 10)
	if _, err := buf.ReadFrom(io.LimitReader(f, maxDocument+1)); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Decode parses config.json. Unknown properties are ignored
// (config.md#extensibility); what two readers could understand differently is
// refused: invalid UTF-8, NUL characters, duplicate keys, trailing data. So
// are documents larger than 16 MiB or nested deeper than 64 levels.
//
// Errors say file, line and column.
func Decode(data []byte) (*specs.Spec, error) {
	spec := new(specs.Spec)
	if err := decode("config.json", data, spec); err != nil {
		return nil, err
	}
	return spec, nil
}

// DecodeProcess parses the process of an exec, under the rules of [Decode].
func DecodeProcess(data []byte) (*specs.Process, error) {
	process := new(specs.Process)
	if err := decode("process", data, process); err != nil {
		return nil, err
	}
	return process, nil
}

func decode(file string, data []byte, into any) error {
	if len(data) > maxDocument {
		return fmt.Errorf("%s: larger than %d MiB", file, maxDocument>>20)
	}
	if !utf8.Valid(data) {
		return at(file, data, invalidUTF8(data), "invalid UTF-8")
	}
	// First, because it bounds what encoding/json is given.
	lint := linter{data: data}
	if offset, problem := lint.document(); problem != "" {
		return at(file, data, offset, problem)
	}
	// The generated code accepts numbers and strings that are not JSON.
	if json.Valid(data) && decodeFast(data, into) == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return explain(file, data, err)
	}
	return nil
}

// explain turns an error of encoding/json into one that says where.
func explain(file string, data []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return fmt.Errorf("%s: the file is empty", file)
	case errors.As(err, &syntax):
		return at(file, data, int(syntax.Offset)-1, syntax.Error())
	case errors.As(err, &kind):
		where := ""
		if kind.Field != "" {
			where = kind.Field + ": "
		}
		return at(file, data, int(kind.Offset)-1, short(where)+short(kind.Value)+" where "+wanted(kind.Type.String())+" is expected")
	}
	return fmt.Errorf("%s: %w", file, err)
}

// wanted names a Go type in the words of JSON.
func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "map["), strings.HasPrefix(goType, "specs.") && !strings.HasPrefix(goType, "specs.Linux"):
		return "an object"
	case strings.HasPrefix(goType, "[]"):
		return "an array"
	case goType == "string":
		return "a string"
	case goType == "bool":
		return "true or false"
	case goType == "fs.FileMode":
		return "a number (uint32)"
	case strings.Contains(goType, "int"):
		return "a number (" + strings.TrimPrefix(goType, "*") + ")"
	}
	return "an object or a string"
}

// at says where in the file: both counted from 1, columns in bytes.
func at(file string, data []byte, offset int, problem string) error {
	offset = max(0, min(offset, len(data)))
	before := data[:offset]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := offset - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%s:%d:%d: %s", file, line, column, problem)
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}
