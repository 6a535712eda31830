package limits

import "slices"

// Updated returns l after an update: what the update says replaces what was
// said before, everything else stays. Neither l nor update is changed; either
// may be nil.
func Updated(l, update *Limits) *Limits {
	if l == nil || update == nil {
		if l == nil {
			return update
		}
		return l
	}
	merged := *l
	merged.Memory = updatedMemory(l.Memory, update.Memory)
	merged.CPU = updatedCPU(l.CPU, update.CPU)
	if u := update.CPUSet; u != nil {
		set := value(l.CPUSet)
		replaceString(&set.CPUs, u.CPUs)
		replaceString(&set.Mems, u.Mems)
		merged.CPUSet = &set
	}
	replace(&merged.Tasks, update.Tasks)
	merged.BlockIO = updatedBlockIO(l.BlockIO, update.BlockIO)
	merged.HugeTLB = updatedList(l.HugeTLB, update.HugeTLB, func(a, b *HugeTLB) bool {
		return a.PageSize == b.PageSize && assign(a, b)
	})
	merged.RDMA = updatedList(l.RDMA, update.RDMA, updateRDMA)
	merged.Unified = updatedList(l.Unified, update.Unified, func(a, b *UnifiedKey) bool {
		return a.File == b.File && assign(a, b)
	})
	if u := update.Network; u != nil {
		network := value(l.Network)
		replace(&network.ClassID, u.ClassID)
		network.Priorities = updatedList(network.Priorities, u.Priorities, func(a, b *Priority) bool {
			return a.Interface == b.Interface && assign(a, b)
		})
		merged.Network = &network
	}
	return &merged
}

func updatedMemory(l, update *Memory) *Memory {
	if update == nil {
		return l
	}
	m := value(l)
	replace(&m.LimitBytes, update.LimitBytes)
	replace(&m.TotalBytes, update.TotalBytes)
	replace(&m.ReservationBytes, update.ReservationBytes)
	replace(&m.KernelBytes, update.KernelBytes)
	replace(&m.KernelTCPBytes, update.KernelTCPBytes)
	replace(&m.Swappiness, update.Swappiness)
	replace(&m.DisableOOMKiller, update.DisableOOMKiller)
	m.CheckUsage = m.CheckUsage || update.CheckUsage
	if update.LimitBytes != nil && *update.LimitBytes == Unlimited && update.TotalBytes == nil {
		m.TotalBytes = nil // lifted with it; see [SwapMax]
	}
	return &m
}

func updatedCPU(l, update *CPU) *CPU {
	if update == nil {
		return l
	}
	c := value(l)
	replace(&c.Shares, update.Shares)
	replace(&c.QuotaUS, update.QuotaUS)
	replace(&c.PeriodUS, update.PeriodUS)
	replace(&c.BurstUS, update.BurstUS)
	replace(&c.RealtimeRuntimeUS, update.RealtimeRuntimeUS)
	replace(&c.RealtimePeriodUS, update.RealtimePeriodUS)
	replace(&c.Idle, update.Idle)
	return &c
}

func updatedBlockIO(l, update *BlockIO) *BlockIO {
	if update == nil {
		return l
	}
	b := value(l)
	replace(&b.Weight, update.Weight)
	b.Weights = updatedList(b.Weights, update.Weights, updateWeight)
	b.Rates = updatedList(b.Rates, update.Rates, updateRate)
	return &b
}

func updateWeight(w, update *DeviceWeight) (same bool) {
	if w.Major != update.Major || w.Minor != update.Minor {
		return false
	}
	replace(&w.Weight, update.Weight)
	return true
}

func updateRate(r, update *DeviceRate) (same bool) {
	if r.Major != update.Major || r.Minor != update.Minor {
		return false
	}
	replace(&r.ReadBPS, update.ReadBPS)
	replace(&r.WriteBPS, update.WriteBPS)
	replace(&r.ReadIOPS, update.ReadIOPS)
	replace(&r.WriteIOPS, update.WriteIOPS)
	return true
}

func updateRDMA(r, update *RDMA) (same bool) {
	if r.Device != update.Device {
		return false
	}
	replace(&r.HCAHandles, update.HCAHandles)
	replace(&r.HCAObjects, update.HCAObjects)
	return true
}

// updatedList merges each entry of update into the entry of list that is about
// the same thing, or appends it.
func updatedList[T any](list, update []T, merge func(a, b *T) (same bool)) []T {
	if len(update) == 0 {
		return list
	}
	merged := slices.Clone(list)
next:
	for i := range update {
		for j := range merged {
			if merge(&merged[j], &update[i]) {
				continue next
			}
		}
		merged = append(merged, update[i])
	}
	return merged
}

func assign[T any](to, by *T) bool {
	*to = *by
	return true
}

func replace[T any](to **T, by *T) {
	if by != nil {
		*to = by
	}
}

func replaceString(to *string, by string) {
	if by != "" {
		*to = by
	}
}

// value returns what p points to, or nothing of it.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
