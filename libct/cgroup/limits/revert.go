package limits

// Reverted returns the update that takes another update back, where l was in
// force before it. What was not limited becomes unlimited, or gets the kernel's
// default, as far as there is one for every machine: of cpusets, weights of
// devices, and control files of v2 only what l says comes back.
func Reverted(l, update *Limits) *Limits {
	if update == nil {
		return nil
	}
	before := value(l)
	r := &Limits{
		Memory:  revertedMemory(before.Memory, update.Memory),
		CPU:     revertedCPU(before.CPU, update.CPU),
		BlockIO: revertedBlockIO(before.BlockIO, update.BlockIO),
		Tasks:   back(before.Tasks, update.Tasks, Unlimited),
		HugeTLB: both(before.HugeTLB, update.HugeTLB, func(a, b HugeTLB) bool { return a.PageSize == b.PageSize }),
		RDMA:    both(before.RDMA, update.RDMA, func(a, b RDMA) bool { return a.Device == b.Device }),
		Unified: both(before.Unified, update.Unified, func(a, b UnifiedKey) bool { return a.File == b.File }),
	}
	if u := update.CPUSet; u != nil && before.CPUSet != nil {
		set := CPUSet{}
		if u.CPUs != "" {
			set.CPUs = before.CPUSet.CPUs
		}
		if u.Mems != "" {
			set.Mems = before.CPUSet.Mems
		}
		r.CPUSet = &set
	}
	if u := update.Network; u != nil {
		n := value(before.Network)
		r.Network = &Network{
			ClassID:    back(n.ClassID, u.ClassID, 0),
			Priorities: both(n.Priorities, u.Priorities, func(a, b Priority) bool { return a.Interface == b.Interface }),
		}
	}
	return r
}

func revertedMemory(before, update *Memory) *Memory {
	if update == nil {
		return nil
	}
	m := value(before)
	return &Memory{
		LimitBytes:       back(m.LimitBytes, update.LimitBytes, Unlimited),
		TotalBytes:       back(m.TotalBytes, update.TotalBytes, Unlimited),
		ReservationBytes: back(m.ReservationBytes, update.ReservationBytes, Unlimited),
		KernelBytes:      back(m.KernelBytes, update.KernelBytes, Unlimited),
		KernelTCPBytes:   back(m.KernelTCPBytes, update.KernelTCPBytes, Unlimited),
		Swappiness:       back(m.Swappiness, update.Swappiness, 60),
		DisableOOMKiller: back(m.DisableOOMKiller, update.DisableOOMKiller, false),
	}
}

func revertedCPU(before, update *CPU) *CPU {
	if update == nil {
		return nil
	}
	c := value(before)
	return &CPU{
		Shares:            back(c.Shares, update.Shares, DefaultShares),
		QuotaUS:           back(c.QuotaUS, update.QuotaUS, Unlimited),
		PeriodUS:          back(c.PeriodUS, update.PeriodUS, 100_000),
		BurstUS:           back(c.BurstUS, update.BurstUS, 0),
		RealtimeRuntimeUS: back(c.RealtimeRuntimeUS, update.RealtimeRuntimeUS, 0),
		RealtimePeriodUS:  back(c.RealtimePeriodUS, update.RealtimePeriodUS, 1_000_000),
		Idle:              back(c.Idle, update.Idle, false),
	}
}

func revertedBlockIO(before, update *BlockIO) *BlockIO {
	if update == nil {
		return nil
	}
	b := value(before)
	r := &BlockIO{
		Weights: both(b.Weights, update.Weights, func(a, b DeviceWeight) bool { return a.Major == b.Major && a.Minor == b.Minor }),
	}
	if b.Weight != nil {
		r.Weight = back(b.Weight, update.Weight, 0)
	}
	for _, u := range update.Rates {
		was := DeviceRate{}
		for _, rate := range b.Rates {
			if rate.Major == u.Major && rate.Minor == u.Minor {
				was = rate
			}
		}
		r.Rates = append(r.Rates, DeviceRate{
			Major: u.Major, Minor: u.Minor,
			ReadBPS: back(was.ReadBPS, u.ReadBPS, 0), WriteBPS: back(was.WriteBPS, u.WriteBPS, 0),
			ReadIOPS: back(was.ReadIOPS, u.ReadIOPS, 0), WriteIOPS: back(was.WriteIOPS, u.WriteIOPS, 0),
		})
	}
	return r
}

// back is nil for what the update does not change, and else what was before,
// or what it is without a limit.
func back[T any](before, update *T, without T) *T {
	switch {
	case update == nil:
		return nil
	case before == nil:
		return &without
	}
	return before
}

// both are the entries of before that are about something in update.
func both[T any](before, update []T, same func(a, b T) bool) (common []T) {
	for _, b := range before {
		for _, u := range update {
			if same(b, u) {
				common = append(common, b)
			}
		}
	}
	return common
}
