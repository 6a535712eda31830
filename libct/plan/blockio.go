package plan

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func (c *composer) blockIOLimits() {
	spec := c.resources.BlockIO
	if spec == nil {
		return
	}
	io := limits.BlockIO{Weight: c.ioWeight(above0(spec.Weight), "weight")}
	c.noLeafWeight(above0(spec.LeafWeight), "leafWeight")
	for i, d := range spec.WeightDevice {
		where := "weightDevice[" + strconv.Itoa(i) + "]"
		c.blockDevice(d.Major, d.Minor, where)
		if d.Weight == nil && d.LeafWeight == nil {
			c.refuseLimit("neither weight nor leafWeight is there", "blockIO."+where)
		}
		io.Weights = append(io.Weights, limits.DeviceWeight{
			Major: d.Major, Minor: d.Minor,
			Weight: c.ioWeight(d.Weight, where+".weight"),
		})
		c.noLeafWeight(d.LeafWeight, where+".leafWeight")
	}
	for _, one := range [...]struct {
		name string
		list []specs.LinuxThrottleDevice
		rate func(r *limits.DeviceRate) **uint64
	}{
		{"throttleReadBpsDevice", spec.ThrottleReadBpsDevice, func(r *limits.DeviceRate) **uint64 { return &r.ReadBPS }},
		{"throttleWriteBpsDevice", spec.ThrottleWriteBpsDevice, func(r *limits.DeviceRate) **uint64 { return &r.WriteBPS }},
		{"throttleReadIOPSDevice", spec.ThrottleReadIOPSDevice, func(r *limits.DeviceRate) **uint64 { return &r.ReadIOPS }},
		{"throttleWriteIOPSDevice", spec.ThrottleWriteIOPSDevice, func(r *limits.DeviceRate) **uint64 { return &r.WriteIOPS }},
	} {
		for i, d := range one.list {
			c.blockDevice(d.Major, d.Minor, one.name+"["+strconv.Itoa(i)+"]")
			*one.rate(rateOf(&io, d.Major, d.Minor)) = &one.list[i].Rate
		}
	}
	if io.Weight != nil || len(io.Weights) > 0 || len(io.Rates) > 0 {
		c.resourceLimits().BlockIO = &io
	}
}

// rateOf finds the device's limits, or adds it.
func rateOf(io *limits.BlockIO, major, minor int64) *limits.DeviceRate {
	for i := range io.Rates {
		if r := &io.Rates[i]; r.Major == major && r.Minor == minor {
			return r
		}
	}
	io.Rates = append(io.Rates, limits.DeviceRate{Major: major, Minor: minor})
	return &io.Rates[len(io.Rates)-1]
}

// blockDevice checks numbers against the kernel's dev_t; makedev(3).
func (c *composer) blockDevice(major, minor int64, where string) {
	if major < 0 || major >= 1<<12 {
		c.refuseLimit(strconv.FormatInt(major, 10)+" is not a major number", "blockIO."+where+".major")
	}
	if minor < 0 || minor >= 1<<20 {
		c.refuseLimit(strconv.FormatInt(minor, 10)+" is not a minor number", "blockIO."+where+".minor")
	}
}

// ioWeight lets 0 pass, which lifts the weight of a device.
func (c *composer) ioWeight(w *uint16, where string) *uint16 {
	if w != nil && *w != 0 && (*w < limits.MinIOWeight || *w > limits.MaxIOWeight) {
		c.refuseLimit(number(*w)+notRange+number[uint16](limits.MinIOWeight)+" to "+number[uint16](limits.MaxIOWeight), "blockIO."+where)
	}
	return w
}

// noLeafWeight: v1 had it for the one scheduler that is gone, v2 never.
func (c *composer) noLeafWeight(w *uint16, where string) {
	if w != nil {
		c.refuseLimit("the CFQ scheduler, which alone knew it, left Linux in 5.0", "blockIO."+where)
	}
}
