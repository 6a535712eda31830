package systemd

import (
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
)

const infinity = "18446744073709551615"

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		l      *limits.Limits
		v2, v1 []string
	}{
		{"nothing", nil, nil, nil},
		{"memory", &limits.Limits{Memory: &limits.Memory{LimitBytes: ptr[int64](100), TotalBytes: ptr[int64](150), ReservationBytes: ptr[int64](50)}},
			[]string{"MemoryMax=100", "MemoryLow=50", "MemorySwapMax=50"}, []string{"MemoryLimit=100"}},
		{"memory lifted", &limits.Limits{Memory: &limits.Memory{LimitBytes: ptr[int64](-1)}},
			[]string{"MemoryMax=" + infinity, "MemorySwapMax=" + infinity}, []string{"MemoryLimit=" + infinity}},
		{"reservation lifted", &limits.Limits{Memory: &limits.Memory{ReservationBytes: ptr[int64](-1)}}, []string{"MemoryLow=0"}, nil},
		{"shares", &limits.Limits{CPU: &limits.CPU{Shares: ptr[uint64](1024)}}, []string{"CPUWeight=100"}, []string{"CPUShares=1024"}},
		{"quota", &limits.Limits{CPU: &limits.CPU{QuotaUS: ptr[int64](25250), PeriodUS: ptr[uint64](50000)}},
			[]string{"CPUQuotaPeriodUSec=50000", "CPUQuotaPerSecUSec=510000"}, []string{"CPUQuotaPeriodUSec=50000", "CPUQuotaPerSecUSec=510000"}},
		{"quota of the usual period", &limits.Limits{CPU: &limits.CPU{QuotaUS: ptr[int64](150_000)}},
			[]string{"CPUQuotaPerSecUSec=1500000"}, []string{"CPUQuotaPerSecUSec=1500000"}},
		{"quota lifted", &limits.Limits{CPU: &limits.CPU{QuotaUS: ptr[int64](-1)}},
			[]string{"CPUQuotaPerSecUSec=" + infinity}, []string{"CPUQuotaPerSecUSec=" + infinity}},
		{"idle goes before shares", &limits.Limits{CPU: &limits.CPU{Shares: ptr[uint64](1024), Idle: ptr(true)}}, []string{"CPUWeight=0"}, []string{"CPUShares=1024"}},
		{"not idle", &limits.Limits{CPU: &limits.CPU{Idle: ptr(false)}}, nil, nil},
		{"cpuset", &limits.Limits{CPUSet: &limits.CPUSet{CPUs: "0-2,9", Mems: "0"}}, []string{"AllowedCPUs=[7 2]", "AllowedMemoryNodes=[1]"}, nil},
		{"tasks", &limits.Limits{Tasks: ptr[int64](50)}, []string{"TasksMax=50"}, []string{"TasksMax=50"}},
		{"any number of tasks", &limits.Limits{Tasks: ptr[int64](-1)}, []string{"TasksMax=" + infinity}, []string{"TasksMax=" + infinity}},
		{"no task", &limits.Limits{Tasks: ptr[int64](0)}, []string{"TasksMax=1"}, []string{"TasksMax=1"}},
		{"weights", &limits.Limits{BlockIO: &limits.BlockIO{Weight: ptr[uint16](500), Weights: []limits.DeviceWeight{{Major: 8, Weight: ptr[uint16](10)}, {Major: 8, Minor: 1, Weight: ptr[uint16](0)}}}},
			[]string{"IOWeight=4950", "IODeviceWeight=[{/dev/block/8:0 1}]"}, []string{"BlockIOWeight=500", "BlockIODeviceWeight=[{/dev/block/8:0 10}]"}},
		{"rates", &limits.Limits{BlockIO: &limits.BlockIO{Rates: []limits.DeviceRate{
			{Major: 8, ReadBPS: ptr[uint64](1), WriteBPS: ptr[uint64](2), ReadIOPS: ptr[uint64](3), WriteIOPS: ptr[uint64](4)}, {Major: 9, Minor: 7, ReadBPS: ptr[uint64](5)}}}},
			[]string{"IOReadBandwidthMax=[{/dev/block/8:0 1} {/dev/block/9:7 5}]", "IOWriteBandwidthMax=[{/dev/block/8:0 2}]", "IOReadIOPSMax=[{/dev/block/8:0 3}]", "IOWriteIOPSMax=[{/dev/block/8:0 4}]"},
			[]string{"BlockIOReadBandwidth=[{/dev/block/8:0 1} {/dev/block/9:7 5}]", "BlockIOWriteBandwidth=[{/dev/block/8:0 2}]"}},
		{"unified", &limits.Limits{Memory: &limits.Memory{LimitBytes: ptr[int64](100)}, Unified: []limits.UnifiedKey{
			{File: "cpu.max", Value: "max 20000"}, {File: "cpu.max", Value: "5000"}, {File: "cpu.weight", Value: "7"}, {File: "cpuset.cpus", Value: "1"}, {File: "cpuset.mems", Value: "0"},
			{File: "io.weight", Value: "default 30"}, {File: "memory.min", Value: "1"}, {File: "memory.low", Value: "2K"}, {File: "memory.high", Value: "3m"},
			{File: "memory.max", Value: "4G"}, {File: "memory.swap.max", Value: "max"}, {File: "pids.max", Value: "0"}, {File: "memory.oom.group", Value: "1"}}},
			[]string{"CPUQuotaPeriodUSec=20000", "CPUQuotaPerSecUSec=50000", "CPUWeight=7", "AllowedCPUs=[2]", "AllowedMemoryNodes=[1]", "IOWeight=30",
				"MemoryMin=1", "MemoryLow=2048", "MemoryHigh=3145728", "MemoryMax=4294967296", "MemorySwapMax=" + infinity, "TasksMax=1"}, []string{"MemoryLimit=100"}},
		{"unified idle", &limits.Limits{Unified: []limits.UnifiedKey{{File: "cpu.idle", Value: "1"}}}, []string{"CPUWeight=0"}, nil},
		{"what systemd knows nothing of", &limits.Limits{
			HugeTLB: []limits.HugeTLB{{PageSize: "2MB", LimitBytes: 1}}, RDMA: []limits.RDMA{{Device: "mlx"}}, Network: &limits.Network{ClassID: ptr[uint32](1)}}, nil, nil},
	} {
		for _, one := range []struct {
			v2   bool
			want []string
		}{{true, tt.v2}, {false, tt.v1}} {
			list, err := Limits(tt.l, one.v2)
			if got := shown(list); err != nil || !slices.Equal(got, one.want) {
				t.Errorf("%s, v2 %v: got %q, %v\nwant %q", tt.name, one.v2, got, err, one.want)
			}
		}
	}
}

func TestLimitsRefuse(t *testing.T) {
	for _, l := range []*limits.Limits{
		{CPUSet: &limits.CPUSet{CPUs: "a"}},
		{CPUSet: &limits.CPUSet{CPUs: "3-1"}},
		{CPUSet: &limits.CPUSet{Mems: "0-99999999"}},
		{CPUSet: &limits.CPUSet{CPUs: "0-3:5/4"}},
		{CPUSet: &limits.CPUSet{CPUs: "0-3:1/0"}},
		{Memory: &limits.Memory{LimitBytes: ptr[int64](5), TotalBytes: ptr[int64](4)}},
		{Unified: []limits.UnifiedKey{{File: "memory.max", Value: "much"}}},
		{Unified: []limits.UnifiedKey{{File: "memory.max", Value: "99999999999999999T"}}},
		{Unified: []limits.UnifiedKey{{File: "cpu.max", Value: ""}}},
		{Unified: []limits.UnifiedKey{{File: "cpu.max", Value: "1 2 3"}}},
		{Unified: []limits.UnifiedKey{{File: "pids.max", Value: "-1"}}},
	} {
		if list, err := Limits(l, true); err == nil {
			t.Errorf("%+v: got %q", l, shown(list))
		}
	}
}

func TestBitmap(t *testing.T) {
	for list, want := range map[string]string{"0": "\x01", "7,8": "\x80\x01", "0-15": "\xff\xff", "0-6:2/4": "\x33", "1, 3\n": "\x0a"} {
		if got, err := bitmap(list); err != nil || string(got) != want {
			t.Errorf("%q: got %x, %v", list, got, err)
		}
	}
}

func TestQuotaPerSecond(t *testing.T) {
	for _, tt := range []struct{ quota, period, want uint64 }{
		{100_000, 100_000, 1_000_000},
		{1000, 1_000_000, 10_000},
		{50_000, 100_000, 500_000},
		{50_001, 100_000, 510_000},
		{1, 3, 340_000},
		{Infinity, 100_000, Infinity},
		{Infinity - 1, 1, Infinity},
		{5, 0, Infinity},
	} {
		if got := quotaPerSecond(tt.quota, tt.period); got != tt.want {
			t.Errorf("%d in %d: got %d, want %d", tt.quota, tt.period, got, tt.want)
		}
	}
}

func TestUpdateSaysWhatChanges(t *testing.T) {
	before := &limits.Limits{
		Memory: &limits.Memory{LimitBytes: ptr[int64](100), TotalBytes: ptr[int64](150)},
		CPU:    &limits.CPU{Shares: ptr[uint64](1024), QuotaUS: ptr[int64](10_000), PeriodUS: ptr[uint64](20_000)},
		Tasks:  ptr[int64](5),
		BlockIO: &limits.BlockIO{Rates: []limits.DeviceRate{
			{Major: 8, ReadBPS: ptr[uint64](1)}, {Major: 9, ReadBPS: ptr[uint64](2)}, {Major: 9, WriteBPS: ptr[uint64](2)}}},
	}
	for _, tt := range []struct {
		name   string
		update *limits.Limits
		want   string
	}{
		{"nothing", &limits.Limits{}, ""},
		{"tasks", &limits.Limits{Tasks: ptr[int64](6)}, "TasksMax=6"},
		{"the same", &limits.Limits{Tasks: ptr[int64](5)}, "TasksMax=5"},
		{"swap follows memory", &limits.Limits{Memory: &limits.Memory{LimitBytes: ptr[int64](120)}}, "MemoryMax=120 MemorySwapMax=30"},
		{"swap alone", &limits.Limits{Memory: &limits.Memory{TotalBytes: ptr[int64](110)}}, "MemorySwapMax=10"},
		{"the quota of the old period", &limits.Limits{CPU: &limits.CPU{QuotaUS: ptr[int64](5_000)}}, "CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=250000"},
		{"the period of the old quota", &limits.Limits{CPU: &limits.CPU{PeriodUS: ptr[uint64](40_000)}}, "CPUQuotaPeriodUSec=40000 CPUQuotaPerSecUSec=250000"},
		{"a list begins anew", &limits.Limits{BlockIO: &limits.BlockIO{Rates: []limits.DeviceRate{{Major: 8, ReadBPS: ptr[uint64](0)}}}},
			"IOReadBandwidthMax=[] IOReadBandwidthMax=[{/dev/block/9:0 2}]"},
	} {
		list, err := Update(limits.Updated(before, tt.update), tt.update, true)
		if got := strings.Join(shown(list), " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

func TestDevices(t *testing.T) {
	got := shown(Devices([]Device{{'c', 1, 3, "rwm"}, {'c', -1, -1, "m"}, {'b', 8, -1, "r"}, {'c', -1, 5, "w"}}))
	want := []string{"DevicePolicy=strict", "DeviceAllow=[]", "DeviceAllow=[{/dev/char/1:3 rwm} {char-* m} {block-8 r} {char-* w}]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got, want := shown(Devices(nil)), []string{"DevicePolicy=auto", "DeviceAllow=[]"}; !slices.Equal(got, want) {
		t.Errorf("all: got %q", got)
	}
	if got, want := shown(Devices([]Device{})), []string{"DevicePolicy=strict", "DeviceAllow=[]", "DeviceAllow=[]"}; !slices.Equal(got, want) {
		t.Errorf("none: got %q", got)
	}
}

// Every list can be sent, as the type that systemd wants.
func TestListsHaveTheTypesOfSystemd(t *testing.T) {
	types := map[string]string{"DeviceAllow": "a(ss)", "IOReadBandwidthMax": "a(st)", "IODeviceWeight": "a(st)", "AllowedCPUs": "ay", "TasksMax": "t", "CPUWeight": "t"}
	of, err := Limits(&limits.Limits{
		CPU: &limits.CPU{Idle: ptr(true)}, CPUSet: &limits.CPUSet{CPUs: "0"}, Tasks: ptr[int64](1),
		BlockIO: &limits.BlockIO{Weights: []limits.DeviceWeight{{Weight: ptr[uint16](10)}}, Rates: []limits.DeviceRate{{ReadBPS: ptr[uint64](0)}}},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range slices.Concat(of, Devices(nil), Devices([]Device{{'c', 1, 3, "r"}})) {
		send(t, p.Value)
		if want, ok := types[p.Name]; ok {
			seen++
			if got := p.Value.Signature().String(); got != want {
				t.Errorf("%s: type %s, want %s", p.Name, got, want)
			}
		}
	}
	if seen < len(types) {
		t.Errorf("only %d of the types were seen", seen)
	}
}
