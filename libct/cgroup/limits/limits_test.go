package limits

import (
	"errors"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

func TestWeight(t *testing.T) {
	for _, tt := range []struct{ shares, want uint64 }{
		{0, 1}, {1, 1}, {2, 1}, {3, 2}, {10, 4}, {100, 17}, {102, 17}, {256, 35}, {512, 59}, {1000, 99},
		{1023, 100}, {1024, 100}, {1025, 101}, {2048, 174}, {4096, 303}, {65536, 3023}, {262143, 10000}, {262144, 10000}, {1 << 40, 10000},
	} {
		if got := Weight(tt.shares); got != tt.want {
			t.Errorf("Weight(%d) = %d, want %d", tt.shares, got, tt.want)
		}
	}
}

func TestWeightNeverFalls(t *testing.T) {
	last := uint64(0)
	for shares := range uint64(MaxShares + 2) {
		w := Weight(shares)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("Weight(%d) = %d after %d", shares, w, last)
		}
		last = w
	}
}

func TestIOWeight(t *testing.T) {
	for _, tt := range []struct {
		weight uint16
		want   uint64
	}{{0, 1}, {10, 1}, {11, 11}, {100, 910}, {500, 4950}, {999, 9989}, {1000, 10000}, {65535, 10000}} {
		if got := IOWeight(tt.weight); got != tt.want {
			t.Errorf("IOWeight(%d) = %d, want %d", tt.weight, got, tt.want)
		}
	}
}

func TestSwapMax(t *testing.T) {
	for _, tt := range []struct {
		name         string
		limit, total *int64
		want         int64
		ok           bool
		err          error
	}{
		{"nothing said", nil, nil, 0, false, nil},
		{"only a limit", ptr[int64](100), nil, 0, false, nil},
		{"the limit is lifted", ptr[int64](-1), nil, -1, true, nil},
		{"difference", ptr[int64](100), ptr[int64](150), 50, true, nil},
		{"no swap", ptr[int64](100), ptr[int64](100), 0, true, nil},
		{"any swap", ptr[int64](100), ptr[int64](-1), -1, true, nil},
		{"all is lifted", ptr[int64](-1), ptr[int64](-1), -1, true, nil},
		{"any swap, nothing else", nil, ptr[int64](-1), -1, true, nil},
		{"below the limit", ptr[int64](100), ptr[int64](99), 0, false, unix.EINVAL},
		{"without a limit", nil, ptr[int64](99), 0, false, unix.EINVAL},
		{"with the limit lifted", ptr[int64](-1), ptr[int64](99), 0, false, unix.EINVAL},
	} {
		got, ok, err := SwapMax(tt.limit, tt.total)
		if got != tt.want || ok != tt.ok || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %d, %v, %v", tt.name, got, ok, err)
		}
	}
}

// full says something about everything.
func full(n int) *Limits {
	i, u, w := int64(n), uint64(n), uint16(n)
	u32, idle := uint32(n), n%2 == 0
	return &Limits{
		Memory: &Memory{LimitBytes: &i, TotalBytes: &i, ReservationBytes: &i, KernelBytes: &i, KernelTCPBytes: &i, Swappiness: &u, DisableOOMKiller: &idle, CheckUsage: true},
		CPU:    &CPU{Shares: &u, QuotaUS: &i, PeriodUS: &u, BurstUS: &u, RealtimeRuntimeUS: &i, RealtimePeriodUS: &u, Idle: &idle},
		CPUSet: &CPUSet{CPUs: string(rune('0' + n)), Mems: string(rune('0' + n))},
		Tasks:  &i,
		BlockIO: &BlockIO{
			Weight:  &w,
			Weights: []DeviceWeight{{Major: 8, Weight: &w}},
			Rates:   []DeviceRate{{Major: 8, ReadBPS: &u, WriteBPS: &u, ReadIOPS: &u, WriteIOPS: &u}},
		},
		HugeTLB: []HugeTLB{{PageSize: "2MB", LimitBytes: u}},
		Network: &Network{ClassID: &u32, Priorities: []Priority{{Interface: "lo", Priority: u32}}},
		RDMA:    []RDMA{{Device: "mlx", HCAHandles: &u32, HCAObjects: &u32}},
		Unified: []UnifiedKey{{File: "memory.high", Value: string(rune('0' + n))}},
	}
}

// The test fails when a field is added that [full] or [Updated] forgets.
func TestFullSaysSomethingAboutEverything(t *testing.T) {
	var check func(path string, v reflect.Value)
	check = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() {
				t.Errorf("%s is nil", path)
				return
			}
			check(path, v.Elem())
		case reflect.Slice:
			if v.Len() == 0 {
				t.Errorf("%s is empty", path)
				return
			}
			check(path+"[0]", v.Index(0))
		case reflect.Struct:
			for i := range v.NumField() {
				check(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	check("", reflect.ValueOf(full(3)))
}

func TestUpdatedReplacesWhatIsSaid(t *testing.T) {
	before, update := full(3), full(4)
	if got := Updated(before, update); !reflect.DeepEqual(got, full(4)) {
		t.Errorf("got %+v", got)
	}
	if !reflect.DeepEqual(before, full(3)) || !reflect.DeepEqual(update, full(4)) {
		t.Error("an argument was changed")
	}
}

func TestUpdatedKeepsWhatIsNotSaid(t *testing.T) {
	empty := &Limits{
		Memory: &Memory{}, CPU: &CPU{}, CPUSet: &CPUSet{}, Network: &Network{},
		BlockIO: &BlockIO{Weights: []DeviceWeight{{Major: 8}}, Rates: []DeviceRate{{Major: 8}}},
		RDMA:    []RDMA{{Device: "mlx"}},
	}
	for _, update := range []*Limits{nil, {}, empty} {
		if got := Updated(full(3), update); !reflect.DeepEqual(got, full(3)) {
			t.Errorf("after %+v: got %+v", update, got)
		}
	}
	if got := Updated(nil, full(3)); !reflect.DeepEqual(got, full(3)) {
		t.Errorf("from nothing: got %+v", got)
	}
	if Updated(nil, nil) != nil {
		t.Error("something from nothing")
	}
}

func TestUpdatedAddsToLists(t *testing.T) {
	before := &Limits{HugeTLB: []HugeTLB{{"2MB", 1}}, BlockIO: &BlockIO{Rates: []DeviceRate{{Major: 8, ReadBPS: ptr[uint64](1)}}}}
	got := Updated(before, &Limits{
		HugeTLB: []HugeTLB{{"1GB", 2}},
		BlockIO: &BlockIO{Rates: []DeviceRate{{Major: 8, WriteBPS: ptr[uint64](2)}, {Major: 8, Minor: 16, ReadBPS: ptr[uint64](3)}}},
	})
	want := &Limits{
		HugeTLB: []HugeTLB{{"2MB", 1}, {"1GB", 2}},
		BlockIO: &BlockIO{Rates: []DeviceRate{
			{Major: 8, ReadBPS: ptr[uint64](1), WriteBPS: ptr[uint64](2)}, {Major: 8, Minor: 16, ReadBPS: ptr[uint64](3)},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestUpdatedLiftsSwapWithMemory(t *testing.T) {
	before := &Limits{Memory: &Memory{LimitBytes: ptr[int64](100), TotalBytes: ptr[int64](200)}}
	got := Updated(before, &Limits{Memory: &Memory{LimitBytes: ptr[int64](Unlimited)}})
	if got.Memory.TotalBytes != nil || *got.Memory.LimitBytes != Unlimited {
		t.Errorf("got %+v", got.Memory)
	}
}

func TestStaged(t *testing.T) {
	for _, tt := range []struct {
		name       string
		l          *Limits
		now, later *Limits
	}{
		{"nothing", nil, nil, nil},
		{"enough tasks", &Limits{Tasks: ptr[int64](32)}, &Limits{Tasks: ptr[int64](32)}, nil},
		{"any tasks", &Limits{Tasks: ptr[int64](-1)}, &Limits{Tasks: ptr[int64](-1)}, nil},
		{"few tasks", &Limits{Tasks: ptr[int64](0), Memory: &Memory{}}, &Limits{Tasks: ptr[int64](32), Memory: &Memory{}}, &Limits{Tasks: ptr[int64](0)}},
		{
			"few tasks by file", &Limits{Tasks: ptr[int64](5), Unified: []UnifiedKey{{"a.b", "1"}, {"pids.max", "3"}, {"x.y", "2"}}},
			&Limits{Tasks: ptr[int64](32), Unified: []UnifiedKey{{"a.b", "1"}, {"x.y", "2"}}},
			&Limits{Tasks: ptr[int64](5), Unified: []UnifiedKey{{"pids.max", "3"}}},
		},
		{"any tasks by file", &Limits{Unified: []UnifiedKey{{"pids.max", "max"}}}, &Limits{Unified: []UnifiedKey{{"pids.max", "max"}}}, nil},
	} {
		before := Updated(tt.l, nil)
		now, later := Staged(tt.l)
		if !reflect.DeepEqual(now, tt.now) || !reflect.DeepEqual(later, tt.later) || !reflect.DeepEqual(before, tt.l) {
			t.Errorf("%s: %+v, %+v", tt.name, now, later)
		}
	}
}

func TestMaxTasks(t *testing.T) {
	for _, tt := range []struct {
		name string
		l    *Limits
		want int64
	}{
		{"nothing", nil, Unlimited},
		{"not said", &Limits{}, Unlimited},
		{"lifted", &Limits{Tasks: ptr[int64](-1)}, Unlimited},
		{"none", &Limits{Tasks: ptr[int64](0)}, 0},
		{"a file is written later", &Limits{Tasks: ptr[int64](7), Unified: []UnifiedKey{{"a.b", "1"}, {"pids.max", "3"}}}, 3},
		{"lifted by file", &Limits{Tasks: ptr[int64](7), Unified: []UnifiedKey{{"pids.max", "max"}}}, Unlimited},
	} {
		if got := MaxTasks(tt.l); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
