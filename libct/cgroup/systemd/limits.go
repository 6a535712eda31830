package systemd

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
)

// Infinity is how properties say that there is no limit.
const Infinity = math.MaxUint64

// idleWeight is the CPUWeight of what runs only when nothing else wants to;
// systemd 252.
const idleWeight = uint64(0)

// leastTasks is the lowest TasksMax; the control file gets the exact number.
const leastTasks = 1

// deviceAmount is an entry of properties per device: a(st).
type deviceAmount struct {
	Path   string
	Amount uint64
}

// properties collects what the manager is told of limits. The last row for a
// property counts.
type properties struct {
	v2   bool
	list []Property
}

func (p *properties) set(name string, value any) {
	p.list = slices.DeleteFunc(p.list, func(old Property) bool { return old.Name == name })
	p.list = append(p.list, property(name, value))
}

// Accounting switches on the controllers, whether there are limits or not:
// statistics want them.
func Accounting(v2 bool) []Property {
	io := "IOAccounting"
	if !v2 {
		io = "BlockIOAccounting"
	}
	var list []Property
	for _, name := range []string{"CPUAccounting", "MemoryAccounting", io, "TasksAccounting"} {
		list = append(list, property(name, true))
	}
	return list
}

// Limits are the properties that say what l says, as far as systemd has any.
// What it has none for, or a coarser one, is written to control files after
// this; the properties are what systemd writes there again when it likes.
func Limits(l *limits.Limits, v2 bool) ([]Property, error) {
	if l == nil {
		return nil, nil
	}
	p := &properties{v2: v2}
	if err := p.memory(l.Memory); err != nil {
		return nil, err
	}
	p.cpu(l.CPU)
	if err := p.cpuset(l.CPUSet); err != nil {
		return nil, err
	}
	if l.Tasks != nil {
		p.set("TasksMax", max(amount(*l.Tasks), leastTasks))
	}
	p.blockIO(l.BlockIO)
	for _, k := range l.Unified {
		if !v2 {
			break // of the cgroup2 of a hybrid host, where systemd has no controllers
		}
		if err := p.unified(k); err != nil {
			return nil, err
		}
	}
	return p.list, nil
}

// Update are the properties that change with update, of which merged is the
// result; see limits.Updated.
func Update(merged, update *limits.Limits, v2 bool) ([]Property, error) {
	alone := *update
	if m := update.Memory; m != nil { // a total may be about the limit of before
		alone.Memory = &limits.Memory{LimitBytes: m.LimitBytes, ReservationBytes: m.ReservationBytes}
	}
	said, err := Limits(&alone, v2)
	if err != nil {
		return nil, err
	}
	all, err := Limits(merged, v2)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, p := range said {
		names[p.Name] = true
	}
	if c := update.CPU; c != nil && (c.QuotaUS != nil || c.PeriodUS != nil) {
		names["CPUQuotaPerSecUSec"], names["CPUQuotaPeriodUSec"] = true, true
	}
	if m := update.Memory; m != nil && (m.LimitBytes != nil || m.TotalBytes != nil) {
		names["MemorySwapMax"] = true
	}
	var list []Property
	for _, p := range all {
		if !names[p.Name] {
			continue
		}
		if _, ok := p.Value.Value().([]deviceAmount); ok {
			list = append(list, property(p.Name, []deviceAmount{})) // an empty list clears
		}
		list = append(list, p)
	}
	return list, nil
}

// amount converts a limit that may be lifted.
func amount(n int64) uint64 {
	if n == limits.Unlimited {
		return Infinity
	}
	return uint64(n)
}

func (p *properties) memory(m *limits.Memory) error {
	if m == nil {
		return nil
	}
	if !p.v2 {
		if m.LimitBytes != nil {
			p.set("MemoryLimit", amount(*m.LimitBytes))
		}
		return nil
	}
	if m.LimitBytes != nil {
		p.set("MemoryMax", amount(*m.LimitBytes))
	}
	if m.ReservationBytes != nil {
		p.set("MemoryLow", uint64(limits.MemoryLow(*m.ReservationBytes)))
	}
	swapBytes, ok, err := limits.SwapMax(m.LimitBytes, m.TotalBytes)
	if err == nil && ok {
		p.set("MemorySwapMax", amount(swapBytes))
	}
	return err
}

func (p *properties) cpu(c *limits.CPU) {
	if c == nil {
		return
	}
	if c.Shares != nil && p.v2 {
		p.set("CPUWeight", limits.Weight(*c.Shares))
	} else if c.Shares != nil {
		p.set("CPUShares", *c.Shares)
	}
	if c.Idle != nil && *c.Idle && p.v2 {
		p.set("CPUWeight", idleWeight)
	}
	if c.PeriodUS != nil {
		p.set("CPUQuotaPeriodUSec", *c.PeriodUS)
	}
	if c.QuotaUS != nil {
		period := uint64(100_000) // the kernel's default
		if c.PeriodUS != nil {
			period = *c.PeriodUS
		}
		p.set("CPUQuotaPerSecUSec", quotaPerSecond(amount(*c.QuotaUS), period))
	}
}

// quotaPerSecond is rounded up to the hundredths that systemd remembers: it
// saves CPUQuota as a percentage.
func quotaPerSecond(quotaUS, periodUS uint64) uint64 {
	const second, step = 1_000_000, 10_000
	high, low := bits.Mul64(quotaUS, second)
	if quotaUS == Infinity || periodUS == 0 || high >= periodUS {
		return Infinity
	}
	perSecond, rest := bits.Div64(high, low, periodUS)
	if rest > 0 && perSecond < Infinity {
		perSecond++
	}
	if perSecond > Infinity-step {
		return Infinity
	}
	return (perSecond + step - 1) / step * step
}

func (p *properties) cpuset(c *limits.CPUSet) error {
	if c == nil || !p.v2 { // systemd does not know the cpuset of v1
		return nil
	}
	for _, one := range [...]struct{ name, list string }{{"AllowedCPUs", c.CPUs}, {"AllowedMemoryNodes", c.Mems}} {
		if one.list == "" {
			continue
		}
		if err := set1(p, one.name, one.list, bitmap); err != nil {
			return err
		}
	}
	return nil
}

// maxBit bounds a bitmap; the kernel's largest CONFIG_NR_CPUS is 8192.
const maxBit = 1 << 16

// bitmap turns a list as in cpuset(7), "0-3,8", into bytes, the first of which
// has the lowest bits.
// "0-6:2/4" are the first two of every four from 0 to 6.
func bitmap(list string) ([]byte, error) {
	var set []byte
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		rng, pattern, hasPattern := strings.Cut(strings.TrimSpace(part), ":")
		if !hasPattern {
			pattern = "1/1"
		}
		first, last, isRange := strings.Cut(rng, "-")
		if !isRange {
			last = first
		}
		usedText, groupText, _ := strings.Cut(pattern, "/")
		var n [4]uint64
		for i, text := range []string{first, last, usedText, groupText} {
			var err error
			if n[i], err = strconv.ParseUint(text, 10, 32); err != nil {
				return nil, fmt.Errorf("%q is not a list of numbers and ranges", list)
			}
		}
		from, to, used, group := n[0], n[1], n[2], n[3]
		if from > to || to >= maxBit || used > group || group == 0 {
			return nil, fmt.Errorf("%q is not a list of numbers and ranges", list)
		}
		for i := from; i <= to; i++ {
			if (i-from)%group >= used {
				continue
			}
			for uint64(len(set)) <= i/8 {
				set = append(set, 0)
			}
			set[i/8] |= 1 << (i % 8)
		}
	}
	return set, nil
}

func (p *properties) blockIO(b *limits.BlockIO) {
	if b == nil {
		return
	}
	weight, weights := "IOWeight", "IODeviceWeight"
	names := []string{"IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax"}
	if !p.v2 {
		weight, weights = "BlockIOWeight", "BlockIODeviceWeight"
		names = []string{"BlockIOReadBandwidth", "BlockIOWriteBandwidth"} // it has none for operations
	}
	scaled := func(w uint16) uint64 {
		if p.v2 {
			return limits.IOWeight(w)
		}
		return uint64(w)
	}
	if b.Weight != nil {
		p.set(weight, scaled(*b.Weight))
	}
	var list []deviceAmount
	for _, w := range b.Weights {
		if w.Weight != nil && *w.Weight != 0 {
			list = append(list, deviceAmount{blockPath(w.Major, w.Minor), scaled(*w.Weight)})
		}
	}
	if len(b.Weights) > 0 {
		p.set(weights, list)
	}
	for i, name := range names {
		p.rates(name, b.Rates, i)
	}
}

// rates sets one of the properties for rates; which is its place in
// [limits.DeviceRate].
func (p *properties) rates(name string, rates []limits.DeviceRate, which int) {
	var list []deviceAmount
	said := false
	for _, r := range rates {
		n := [...]*uint64{r.ReadBPS, r.WriteBPS, r.ReadIOPS, r.WriteIOPS}[which]
		said = said || n != nil
		if n != nil && *n != 0 {
			list = append(list, deviceAmount{blockPath(r.Major, r.Minor), *n})
		}
	}
	if said {
		p.set(name, list)
	}
}

func blockPath(major, minor int64) string { return fmt.Sprintf("/dev/block/%d:%d", major, minor) }

// unified translates the control files that systemd has properties for.
func (p *properties) unified(k limits.UnifiedKey) error {
	value := strings.TrimSpace(k.Value)
	switch k.File {
	case "cpu.max":
		return p.cpuMax(value)
	case "cpu.weight":
		return set1(p, "CPUWeight", value, number)
	case "cpu.idle":
		if value == "1" {
			p.set("CPUWeight", idleWeight)
		}
	case "cpuset.cpus":
		return set1(p, "AllowedCPUs", value, bitmap)
	case "cpuset.mems":
		return set1(p, "AllowedMemoryNodes", value, bitmap)
	case "io.weight":
		if n, err := strconv.ParseUint(strings.TrimPrefix(value, "default "), 10, 64); err == nil {
			p.set("IOWeight", n)
		}
	case "memory.min":
		return set1(p, "MemoryMin", value, number)
	case "memory.low":
		return set1(p, "MemoryLow", value, number)
	case "memory.high":
		return set1(p, "MemoryHigh", value, number)
	case "memory.max":
		return set1(p, "MemoryMax", value, number)
	case "memory.swap.max":
		return set1(p, "MemorySwapMax", value, number)
	case "pids.max":
		n, err := number(value)
		if err != nil {
			return fmt.Errorf("pids.max: %w", err)
		}
		p.set("TasksMax", max(n, leastTasks))
	}
	return nil
}

// set1 sets a property from the text of a control file.
func set1[T any](p *properties, name, value string, parse func(string) (T, error)) error {
	v, err := parse(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.set(name, v)
	return nil
}

// number is one of a control file, in which sizes may have a unit.
func number(value string) (uint64, error) {
	if value == "max" {
		return Infinity, nil
	}
	digits, shift := value, 0
	if n := len(value); n > 0 {
		if i := strings.IndexByte("kmgt", value[n-1]|0x20); i >= 0 {
			digits, shift = value[:n-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || bits.LeadingZeros64(n) < shift {
		return 0, fmt.Errorf("%q is not a number", value)
	}
	return n << shift, nil
}

// cpuMax is "QUOTA [PERIOD]".
func (p *properties) cpuMax(value string) error {
	fields := strings.Fields(value)
	if len(fields) == 0 || len(fields) > 2 {
		return fmt.Errorf("cpu.max: %q is not a quota and a period", value)
	}
	quota, err := number(fields[0])
	if err != nil {
		return fmt.Errorf("cpu.max: %w", err)
	}
	period := uint64(100_000)
	if len(fields) == 2 {
		if period, err = strconv.ParseUint(fields[1], 10, 64); err != nil {
			return fmt.Errorf("cpu.max: %w", err)
		}
		p.set("CPUQuotaPeriodUSec", period)
	}
	p.set("CPUQuotaPerSecUSec", quotaPerSecond(quota, period))
	return nil
}
