package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// io writes weights and io.max.
func (w *limiter) io(update, _ *limits.Limits) error {
	b := update.BlockIO
	if b == nil {
		return nil
	}
	if b.Weight != nil {
		if err := w.weight("", *b.Weight); err != nil {
			return err
		}
	}
	for _, d := range b.Weights {
		if d.Weight == nil {
			continue
		}
		if err := w.weight(device(d.Major, d.Minor)+" ", *d.Weight); err != nil {
			return err
		}
	}
	for _, d := range b.Rates {
		if err := w.set(tree.Setting{File: "io.max", Value: ioMax(d)}); err != nil {
			return err
		}
	}
	return nil
}

// weight goes to both schedulers that know one, whichever a disk may have:
// BFQ has a file of its own with the scale of v1; Documentation/block/bfq-iosched.rst.
// One of them has to take it.
func (w *limiter) weight(device string, weight uint16) error {
	bfq, cost := strconv.Itoa(int(weight)), strconv.FormatUint(limits.IOWeight(weight), 10)
	if weight == 0 {
		bfq, cost = "default", "default"
	}
	costErr := w.set(tree.Setting{File: "io.weight", Value: device + cost})
	bfqErr := tree.Write(w.g.dir, "io.bfq.weight", device+bfq)
	for _, err := range [...]error{costErr, bfqErr} {
		if err != nil && !isMissing(err) {
			return err
		}
	}
	if costErr != nil && bfqErr != nil {
		return fmt.Errorf("neither io.cost nor BFQ takes a weight: %w", costErr)
	}
	return nil
}

// isMissing tells errors that mean that a scheduler does not serve: there is
// none of it, or it does not control the device.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EOPNOTSUPP)
}

func device(major, minor int64) string {
	return strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
}

// ioMax is the line of one device: "8:0 rbps=1048576 wiops=max".
func ioMax(d limits.DeviceRate) string {
	line := device(d.Major, d.Minor)
	for _, one := range [...]struct {
		key  string
		rate *uint64
	}{{"rbps", d.ReadBPS}, {"wbps", d.WriteBPS}, {"riops", d.ReadIOPS}, {"wiops", d.WriteIOPS}} {
		switch {
		case one.rate == nil:
		case *one.rate == 0:
			line += " " + one.key + "=max"
		default:
			line += " " + one.key + "=" + strconv.FormatUint(*one.rate, 10)
		}
	}
	return line
}

// ioStats puts io.stat into the lists of v1. Lines are
// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6". Discards are left out
// while there are none, as runc leaves them out altogether.
func ioStats(r *tree.Reader, s *stats.Stats) {
	b := &s.BlockIO
	b.PSI = r.PSI("io.pressure")
	for line := range strings.Lines(r.Text("io.stat")) {
		fields := strings.Fields(line)
		major, minor, ok := deviceNumber(fields)
		if !ok {
			continue
		}
		for _, f := range fields[1:] {
			key, text, _ := strings.Cut(f, "=")
			value, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				continue // cost.usage and such have other forms
			}
			e := stats.BlockIOEntry{Major: major, Minor: minor, Value: value}
			switch key {
			case "rbytes", "rios":
				e.Op = "Read"
			case "wbytes", "wios":
				e.Op = "Write"
			case "dbytes", "dios":
				e.Op = "Discard"
			default:
				continue
			}
			switch {
			case e.Op == "Discard" && value == 0:
			case strings.HasSuffix(key, "bytes"):
				b.IoServiceBytesRecursive = append(b.IoServiceBytesRecursive, e)
			default:
				b.IoServicedRecursive = append(b.IoServicedRecursive, e)
			}
		}
	}
}

func deviceNumber(fields []string) (major, minor uint64, ok bool) {
	if len(fields) == 0 {
		return 0, 0, false
	}
	first, second, ok := strings.Cut(fields[0], ":")
	major, err1 := strconv.ParseUint(first, 10, 32)
	minor, err2 := strconv.ParseUint(second, 10, 32)
	return major, minor, ok && err1 == nil && err2 == nil
}
