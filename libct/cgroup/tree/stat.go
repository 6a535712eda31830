package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
)

// Reader reads figures of one cgroup. A file that is not there, because the
// kernel or the machine lacks the feature, counts nothing; the first other
// error is kept in Err, and all results after it are zero.
type Reader struct {
	Dir string
	Err error
}

// Text is the file without the last line break.
func (r *Reader) Text(name string) string {
	if r.Err != nil {
		return ""
	}
	text, err := Read(r.Dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV): // the cgroup is going
		return ""
	case errors.Is(err, unix.EOPNOTSUPP): // *.pressure with psi=0, cgroup.procs of a threaded one
		return ""
	case err != nil:
		r.Err = err
		return ""
	}
	return strings.TrimSuffix(text, "\n")
}

// Uint is a file with one number; "max" is the largest one.
func (r *Reader) Uint(name string) uint64 {
	text := r.Text(name)
	if text == "" {
		return 0
	}
	return r.number(name, text)
}

// Int is Uint for a number that may be negative.
func (r *Reader) Int(name string) int64 {
	text := r.Text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	r.fail(name, err)
	return n
}

// Keyed is a file of lines KEY VALUE; cgroup-v2.rst, "flat keyed". Lines of
// another form are left out. nil if there are none.
func (r *Reader) Keyed(name string) map[string]uint64 {
	var values map[string]uint64
	for line := range strings.Lines(r.Text(name)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if !ok || err != nil {
			continue // hierarchical figures of some kernels have units
		}
		if values == nil {
			values = map[string]uint64{}
		}
		values[key] = n
	}
	return values
}

// List is a file with numbers and ranges; cpuset(7), "List format".
func (r *Reader) List(name string) []uint16 {
	text := r.Text(name)
	if text == "" {
		return nil
	}
	var list []uint16
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 16)
		r.fail(name, err)
		last, err := strconv.ParseUint(high, 10, 16)
		r.fail(name, err)
		for n := first; n <= last && r.Err == nil; n++ {
			list = append(list, uint16(n))
		}
	}
	return list
}

// PSI is a file *.pressure; nil if the kernel does not account it.
func (r *Reader) PSI(name string) *stats.PSI {
	text := r.Text(name)
	if text == "" {
		return nil
	}
	psi := &stats.PSI{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		p := &psi.Some
		switch {
		case len(fields) > 0 && fields[0] == "some":
		case len(fields) > 0 && fields[0] == "full":
			p = &psi.Full
		default:
			continue
		}
		for _, f := range fields[1:] {
			r.pressure(name, p, f)
		}
	}
	return psi
}

func (r *Reader) pressure(name string, p *stats.Pressure, field string) {
	key, value, _ := strings.Cut(field, "=")
	var err error
	switch key {
	case "avg10":
		p.Avg10, err = strconv.ParseFloat(value, 64)
	case "avg60":
		p.Avg60, err = strconv.ParseFloat(value, 64)
	case "avg300":
		p.Avg300, err = strconv.ParseFloat(value, 64)
	case "total":
		p.Total, err = strconv.ParseUint(value, 10, 64)
	}
	r.fail(name, err)
}

// Glob lists the files of the cgroup that match.
func (r *Reader) Glob(pattern string) []string {
	found, err := filepath.Glob(filepath.Join(r.Dir, pattern))
	if err != nil && r.Err == nil {
		r.Err = err // of the pattern
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

func (r *Reader) number(name, text string) uint64 {
	if text == "max" {
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(text, 10, 64)
	r.fail(name, err)
	return n
}

func (r *Reader) fail(name string, err error) {
	if err != nil && r.Err == nil {
		r.Err = fmt.Errorf("%s: %w", filepath.Join(r.Dir, name), err)
	}
}
