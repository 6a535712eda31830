package limits

import (
	"reflect"
	"testing"
)

func TestRevertedAfterUpdatedIsAsBefore(t *testing.T) {
	before := full(1)
	before.Memory.CheckUsage = true // which an update only adds
	update := full(2)
	update.Memory.CheckUsage = false
	got := Updated(Updated(before, update), Reverted(before, update))
	if !reflect.DeepEqual(got, before) {
		t.Errorf("got %+v", got)
	}
}

func TestRevertedLiftsWhatWasNotLimited(t *testing.T) {
	r := Reverted(nil, full(2))
	for name, got := range map[string]int64{
		"memory": *r.Memory.LimitBytes, "swap": *r.Memory.TotalBytes, "tasks": *r.Tasks, "quota": *r.CPU.QuotaUS,
	} {
		if got != Unlimited {
			t.Errorf("%s: %d", name, got)
		}
	}
	if *r.CPU.Shares != DefaultShares || *r.CPU.Idle || *r.BlockIO.Rates[0].ReadBPS != 0 || *r.Network.ClassID != 0 {
		t.Errorf("%+v", r)
	}
	if r.CPUSet != nil || r.BlockIO.Weight != nil || r.HugeTLB != nil || r.Unified != nil {
		t.Errorf("made up: %+v", r)
	}
}

func TestRevertedLeavesTheRestAlone(t *testing.T) {
	if got := Reverted(full(1), &Limits{Tasks: ptr[int64](7)}); !reflect.DeepEqual(got, &Limits{Tasks: ptr[int64](1)}) {
		t.Errorf("%+v", got)
	}
	if Reverted(full(1), nil) != nil {
		t.Error("something of nothing")
	}
	if got := Reverted(full(1), &Limits{CPUSet: &CPUSet{CPUs: "3"}}); !reflect.DeepEqual(got, &Limits{CPUSet: &CPUSet{CPUs: "1"}}) {
		t.Errorf("%+v", got)
	}
}
