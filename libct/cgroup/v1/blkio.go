package v1

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// BFQ's control files: since Linux 5.0 no other scheduler of v1 knows weights.
const (
	weightFile       = "blkio.bfq.weight"
	weightDeviceFile = "blkio.bfq.weight_device"
)

// blkio writes weights and throttles, a write for each device.
func (w limiter) blkio(update, _ *limits.Limits) error {
	b := update.BlockIO
	if b == nil {
		return nil
	}
	if b.Weight != nil {
		if err := w.set(unsigned(weightFile, uint64(*b.Weight), 100)); err != nil {
			return err
		}
	}
	for _, d := range b.Weights {
		if d.Weight == nil {
			continue
		}
		value := "default"
		if *d.Weight != 0 {
			value = strconv.Itoa(int(*d.Weight))
		}
		if err := w.set(tree.Setting{File: weightDeviceFile, Value: device(d.Major, d.Minor) + value}); err != nil {
			return err
		}
	}
	for _, d := range b.Rates {
		if err := w.throttle(d); err != nil {
			return err
		}
	}
	return nil
}

// throttle limits one device; a rate of 0 lifts what was said before.
func (w limiter) throttle(d limits.DeviceRate) error {
	for _, one := range [...]struct {
		file string
		rate *uint64
	}{
		{"blkio.throttle.read_bps_device", d.ReadBPS}, {"blkio.throttle.write_bps_device", d.WriteBPS},
		{"blkio.throttle.read_iops_device", d.ReadIOPS}, {"blkio.throttle.write_iops_device", d.WriteIOPS},
	} {
		if one.rate == nil {
			continue
		}
		value := device(d.Major, d.Minor) + strconv.FormatUint(*one.rate, 10)
		if err := w.set(tree.Setting{File: one.file, Value: value, New: *one.rate == 0}); err != nil {
			return err
		}
	}
	return nil
}

// device is the first word of a line.
func device(major, minor int64) string {
	return strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10) + " "
}
