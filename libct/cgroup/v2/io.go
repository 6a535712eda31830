package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
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
