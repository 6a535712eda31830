package v1

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
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

// blkioStats takes the figures of the I/O scheduler that keeps them: CFQ
// before Linux 5.0, then BFQ; without one, those of throttling.
func blkioStats(r *tree.Reader, s *stats.Stats) {
	b := &s.BlockIO
	for _, prefix := range [...]string{"blkio.", "blkio.bfq.", "blkio.throttle."} {
		read := func(name string) []stats.BlockIOEntry { return blkioEntries(r, prefix+name+"_recursive") }
		b.IoServicedRecursive = read("io_serviced")
		b.IoServiceBytesRecursive = read("io_service_bytes")
		b.IoQueuedRecursive = read("io_queued")
		b.IoServiceTimeRecursive = read("io_service_time")
		b.IoWaitTimeRecursive = read("io_wait_time")
		b.IoMergedRecursive = read("io_merged")
		b.IoTimeRecursive = read("time")
		b.SectorsRecursive = read("sectors")
		if len(b.IoServicedRecursive) > 0 {
			return
		}
	}
}

// blkioEntries reads lines "8:0 Read 1" or "8:0 1"; the last one, "Total 1",
// is the sum of all devices.
func blkioEntries(r *tree.Reader, name string) (entries []stats.BlockIOEntry) {
	for _, line := range lines(r, name) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] == "Total" {
			continue
		}
		var e stats.BlockIOEntry
		if len(fields) > 2 {
			e.Op = fields[1]
		}
		_, err := fmt.Sscanf(fields[0]+" "+fields[len(fields)-1], "%d:%d %d", &e.Major, &e.Minor, &e.Value)
		fail(r, name, err)
		entries = append(entries, e)
	}
	return entries
}
