package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func factsWith(mode host.CgroupMode) host.Facts {
	facts := rootFacts
	facts.Cgroup = mode
	return facts
}

// resources decodes linux.resources as config.json has it.
func resources(t *testing.T, text string) *specs.LinuxResources {
	t.Helper()
	r, err := DecodeResources("resources", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every value that the specification has is told to the drivers, in kernel terms.
func TestLimits(t *testing.T) {
	const v1, v2 = host.CgroupHybrid, host.CgroupV2
	for _, tc := range []struct {
		name  string
		facts host.CgroupMode
		given string
		want  string // limits as JSON
	}{
		{"memory", v2, `{"memory":{"limit":100,"swap":200,"reservation":50,"checkBeforeUpdate":true}}`,
			`{"memory":{"limitBytes":100,"totalBytes":200,"reservationBytes":50,"checkUsage":true}}`},
		{"memory of v1", v1, `{"memory":{"limit":100,"kernel":10,"kernelTCP":20,"swappiness":0,"disableOOMKiller":true,"useHierarchy":true}}`,
			`{"memory":{"limitBytes":100,"kernelBytes":10,"kernelTCPBytes":20,"swappiness":0,"disableOOMKiller":true}}`},
		{"only a check of updates", v2, `{"memory":{"checkBeforeUpdate":true}}`, `{"memory":{"checkUsage":true}}`},
		{"memory lifted", v2, `{"memory":{"limit":-1,"swap":-1,"reservation":-1,"kernel":-1,"kernelTCP":-1,"disableOOMKiller":false}}`,
			`{"memory":{"limitBytes":-1,"totalBytes":-1,"reservationBytes":-1}}`},
		{"memory lifted in v1", v1, `{"memory":{"limit":-1,"kernel":-1,"kernelTCP":-1,"disableOOMKiller":false}}`,
			`{"memory":{"limitBytes":-1,"kernelBytes":-1,"kernelTCPBytes":-1,"disableOOMKiller":false}}`},
		{"swap as large as memory", v2, `{"memory":{"limit":100,"swap":100}}`, `{"memory":{"limitBytes":100,"totalBytes":100}}`},
		{"cpu", v2, `{"cpu":{"shares":512,"quota":20000,"period":50000,"burst":20000,"idle":1,"cpus":"0-1","mems":"0"}}`,
			`{"cpu":{"shares":512,"quotaUS":20000,"periodUS":50000,"burstUS":20000,"idle":true},"cpuset":{"cpus":"0-1","mems":"0"}}`},
		{"cpu of v1", v1, `{"cpu":{"realtimeRuntime":1000,"realtimePeriod":2000}}`, `{"cpu":{"realtimeRuntimeUS":1000,"realtimePeriodUS":2000}}`},
		{"cpu lifted", v2, `{"cpu":{"shares":1024,"quota":-1,"burst":0,"idle":0}}`, `{"cpu":{"shares":1024,"quotaUS":-1,"burstUS":0,"idle":false}}`},
		{"cpu at its bounds", v2, `{"cpu":{"shares":2,"quota":1000,"period":1000000}}`, `{"cpu":{"shares":2,"quotaUS":1000,"periodUS":1000000}}`},
		{"lists", v2, `{"cpu":{"cpus":"0,2-4,7"}}`, `{"cpuset":{"cpus":"0,2-4,7"}}`},
		{"pids", v2, `{"pids":{"limit":7}}`, `{"tasks":7}`},
		{"pids lifted", v2, `{"pids":{"limit":-1}}`, `{"tasks":-1}`},
		{"blockIO", v2, `{"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":1000}],
				"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":2}],
				"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":3}],
				"throttleReadIOPSDevice":[{"major":8,"minor":16,"rate":4}],
				"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]}}`,
			`{"blockIO":{"weight":10,"weights":[{"major":8,"minor":0,"weight":1000}],
				"rates":[{"major":8,"minor":0,"readBPS":1,"writeBPS":3,"writeIOPS":0},{"major":8,"minor":16,"readBPS":2,"readIOPS":4}]}}`},
		{"huge pages", v2, `{"hugepageLimits":[{"pageSize":"2MB","limit":0},{"pageSize":"1GB","limit":18446744073709551615}]}`,
			`{"hugetlb":[{"pageSize":"2MB","limitBytes":0},{"pageSize":"1GB","limitBytes":18446744073709551615}]}`},
		{"network", v1, `{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":5}]}}`,
			`{"network":{"classID":1048577,"priorities":[{"interface":"lo","priority":5}]}}`},
		{"rdma", v2, `{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"mlx4_0":{"hcaObjects":0}}}`,
			`{"rdma":[{"device":"mlx4_0","hcaObjects":0},{"device":"mlx5_1","hcaHandles":3,"hcaObjects":10000}]}`},
		{"unified", v2, `{"unified":{"memory.high":"1","cpu.max.burst":"1","cpu.max":"9 9","cgroup.max.depth":"3","io.max":"8:0 rbps=1\n8:16 wbps=2"}}`,
			`{"unified":[{"file":"cgroup.max.depth","value":"3"},{"file":"cpu.max","value":"9 9"},{"file":"cpu.max.burst","value":"1"},
				{"file":"io.max","value":"8:0 rbps=1\n8:16 wbps=2"},{"file":"memory.high","value":"1"}]}`},
		{"unified on a hybrid host", v1, `{"unified":{"hugetlb.2MB.max":"0"}}`, `{"unified":[{"file":"hugetlb.2MB.max","value":"0"}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := compose(t, factsWith(tc.facts), func(s *specs.Spec) { s.Linux.Resources = resources(t, tc.given) })
			want := new(limits.Limits)
			if err := json.Unmarshal([]byte(tc.want), want); err != nil {
				t.Fatal(err)
			}
			if got := p.Cgroup.Limits; !reflect.DeepEqual(got, want) {
				text, _ := json.Marshal(got)
				t.Errorf("got  %s\nwant %s", text, tc.want)
			}
		})
	}
}

// What engines write for properties that are not set says nothing.
func TestLimitsThatSayNothing(t *testing.T) {
	for _, given := range []string{
		`{}`, `{"memory":{}}`, `{"memory":{"limit":0,"swap":0,"reservation":0,"kernel":0,"kernelTCP":0,"swappiness":18446744073709551615}}`,
		`{"cpu":{"shares":0,"quota":0,"period":0,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"","mems":""}}`,
		`{"pids":{"limit":0}}`, `{"pids":{}}`, `{"blockIO":{"weight":0,"leafWeight":0,"weightDevice":[],"throttleReadBpsDevice":null}}`,
		`{"hugepageLimits":[],"network":{},"rdma":{},"unified":{}}`, `{"network":{"classID":0,"priorities":[]}}`,
		`{"devices":[{"allow":false,"access":"rwm"}],"memory":{"disableOOMKiller":false},"pids":{"limit":0},"blockIO":{},"network":{}}`,
	} {
		p := compose(t, rootFacts, func(s *specs.Spec) {
			s.Version = "1.0.2"
			s.Linux.Resources = resources(t, given)
		})
		if p.Cgroup.Limits != nil {
			t.Errorf("%s: %+v", given, p.Cgroup.Limits)
		}
	}
}

func TestLimitViolations(t *testing.T) {
	const v1, hybrid, v2 = host.CgroupV1, host.CgroupHybrid, host.CgroupV2
	for _, tc := range []struct {
		facts                  host.CgroupMode
		given                  string
		path, problem, section string
	}{
		{v2, `{"memory":{"limit":-2}}`, "memory.limit", "-2 is neither -1 nor", "#memory"},
		{v2, `{"memory":{"reservation":-9}}`, "memory.reservation", "-9 is neither", ""},
		{v1, `{"memory":{"kernel":-9}}`, "memory.kernel", "-9 is neither", ""},
		{v1, `{"memory":{"kernelTCP":-9}}`, "memory.kernelTCP", "-9 is neither", ""},
		{v2, `{"memory":{"limit":100,"swap":99}}`, "memory.swap", "99 is below memory.limit, 100", "#memory"},
		{v1, `{"memory":{"limit":100,"swap":99}}`, "memory.swap", "99 is below memory.limit, 100", ""},
		{v2, `{"memory":{"swap":99}}`, "memory.swap", "needs memory.limit", ""},
		{v2, `{"memory":{"limit":-1,"swap":99}}`, "memory.swap", "needs memory.limit", ""},
		{v1, `{"memory":{"swappiness":101}}`, "memory.swappiness", "101 is not in the range 0 to 100", ""},
		{v2, `{"memory":{"swappiness":0}}`, "memory.swappiness", "cgroup v2", ""},
		{v2, `{"memory":{"kernel":1}}`, "memory.kernel", "cgroup v2", ""},
		{v2, `{"memory":{"kernelTCP":1}}`, "memory.kernelTCP", "cgroup v2", ""},
		{v2, `{"memory":{"disableOOMKiller":true}}`, "memory.disableOOMKiller", "cgroup v2", ""},
		{v2, `{"cpu":{"shares":1}}`, "cpu.shares", "1 is not in the range 2 to 262144", "#cpu"},
		{v1, `{"cpu":{"shares":262145}}`, "cpu.shares", "262145 is not in the range", ""},
		{v2, `{"cpu":{"period":999}}`, "cpu.period", "999 is not in the range", ""},
		{v2, `{"cpu":{"period":1000001}}`, "cpu.period", "1000001 is not in the range", ""},
		{v2, `{"cpu":{"quota":999}}`, "cpu.quota", "999 is neither -1 nor", ""},
		{v2, `{"cpu":{"quota":-2}}`, "cpu.quota", "-2 is neither -1 nor", ""},
		{v2, `{"cpu":{"quota":5000,"burst":5001}}`, "cpu.burst", "5001 is above cpu.quota, 5000", ""},
		{v1, `{"cpu":{"realtimeRuntime":-2}}`, "cpu.realtimeRuntime", "-2 is neither", ""},
		{v2, `{"cpu":{"realtimeRuntime":1}}`, "cpu.realtimeRuntime", "cgroup v2", ""},
		{v2, `{"cpu":{"realtimePeriod":1}}`, "cpu.realtimePeriod", "cgroup v2", ""},
		{v2, `{"cpu":{"idle":2}}`, "cpu.idle", "2 is neither 0 nor 1", ""},
		{v2, `{"cpu":{"cpus":"1-"}}`, "cpu.cpus", `item "1-"`, "#cpu"},
		{v2, `{"cpu":{"cpus":"3-1"}}`, "cpu.cpus", "backwards", ""},
		{v2, `{"cpu":{"cpus":" "}}`, "cpu.cpus", "is no list", ""},
		{v2, `{"cpu":{"mems":"0\n"}}`, "cpu.mems", "line break", ""},
		{v2, `{"cpu":{"mems":"all"}}`, "cpu.mems", `item "all"`, ""},
		{v2, `{"pids":{"limit":-2}}`, "pids.limit", "-2 is neither -1 nor", "#pids"},
		{v2, `{"blockIO":{"weight":9}}`, "blockIO.weight", "9 is not in the range 10 to 1000", "#block-io"},
		{v1, `{"blockIO":{"weight":1001}}`, "blockIO.weight", "1001 is not in the range", ""},
		{v1, `{"blockIO":{"leafWeight":10}}`, "blockIO.leafWeight", "CFQ", ""},
		{v2, `{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}`, "blockIO.weightDevice[0]", "neither weight nor leafWeight", ""},
		{v2, `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":5}]}}`, "blockIO.weightDevice[0].weight", "not in the range", ""},
		{v2, `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":50}]}}`, "blockIO.weightDevice[0].leafWeight", "CFQ", ""},
		{v2, `{"blockIO":{"throttleWriteIOPSDevice":[{"major":8,"minor":-1,"rate":1}]}}`, "blockIO.throttleWriteIOPSDevice[0].minor", "-1 is not", ""},
		{v2, `{"blockIO":{"throttleReadBpsDevice":[{"major":4096,"minor":0,"rate":1}]}}`, "blockIO.throttleReadBpsDevice[0].major", "4096 is not", ""},
		{v2, `{"hugepageLimits":[{"pageSize":"","limit":1}]}`, "hugepageLimits[0].pageSize", `"" is not of the form`, "#huge-page-limits"},
		{v2, `{"hugepageLimits":[{"pageSize":"2M","limit":1}]}`, "hugepageLimits[0].pageSize", `"2M" is not of the form`, ""},
		{v2, `{"hugepageLimits":[{"pageSize":"02MB","limit":1}]}`, "hugepageLimits[0].pageSize", "not of the form", ""},
		{v2, `{"hugepageLimits":[{"pageSize":"2MB.max/../../x.2MB","limit":1}]}`, "hugepageLimits[0].pageSize", "not of the form", ""},
		{v2, `{"network":{"classID":1}}`, "network.classID", "cgroup v2", "#network"},
		{v2, `{"network":{"priorities":[{"name":"lo","priority":1}]}}`, "network.priorities", "cgroup v2", ""},
		{v1, `{"network":{"priorities":[{"name":"a b","priority":1}]}}`, "network.priorities[0].name", `"a b" is not the name`, ""},
		{v2, `{"rdma":{"mlx":{}}}`, `rdma["mlx"]`, "neither hcaHandles", "#rdma"},
		{v2, `{"rdma":{"a b":{"hcaHandles":1}}}`, "rdma", `"a b" is not the name`, ""},
		{v1, `{"unified":{"memory.high":"1"}}`, "unified", "no cgroup v2 hierarchy", "#unified"},
		{v2, `{"unified":{"../memory.high":"1"}}`, `unified["../memory.high"]`, "not the name of a control file", ""},
		{hybrid, `{"unified":{"x/memory.high":"1"}}`, `unified["x/memory.high"]`, "not the name of a control file", ""},
		{v2, `{"unified":{"memory":"1"}}`, `unified["memory"]`, "not the name of a control file", ""},
		{v2, `{"unified":{"..":"1"}}`, `unified[".."]`, "not the name of a control file", ""},
		{v2, `{"unified":{"cgroup.procs":"1"}}`, `unified["cgroup.procs"]`, "for the runtime alone", ""},
		{v2, `{"unified":{"cgroup.kill":"1"}}`, `unified["cgroup.kill"]`, "for the runtime alone", ""},
		{v2, `{"unified":{"cgroup.freeze":"1"}}`, `unified["cgroup.freeze"]`, "for the runtime alone", ""},
		{v2, `{"unified":{"cgroup.subtree_control":"+cpu"}}`, `unified["cgroup.subtree_control"]`, "for the runtime alone", ""},
		{v2, `{"unified":{"cgroup.type":"threaded"}}`, `unified["cgroup.type"]`, "for the runtime alone", ""},
	} {
		t.Run(string(tc.facts)+tc.given, func(t *testing.T) {
			spec := load(t, "default")
			spec.Linux.Resources = resources(t, tc.given)
			_, _, err := New(spec, factsWith(tc.facts), testOptions())
			want(t, err, "linux.resources."+tc.path, tc.problem, "config-linux.md"+tc.section)

			container := compose(t, factsWith(tc.facts), func(s *specs.Spec) {})
			_, _, _, err = Update(container, resources(t, tc.given), factsWith(tc.facts))
			want(t, err, tc.path, tc.problem, "config-linux.md"+tc.section)
		})
	}
}

func TestUseHierarchyIsNotIgnoredSilently(t *testing.T) {
	spec := load(t, "default")
	spec.Linux.Resources = resources(t, `{"memory":{"useHierarchy":false}}`)
	_, warnings, err := New(spec, rootFacts, testOptions())
	if err != nil || !strings.Contains(strings.Join(warnings, "\n"), "linux.resources.memory.useHierarchy") {
		t.Errorf("%q, %v", warnings, err)
	}
}

// An update is checked together with what the container has.
func TestUpdate(t *testing.T) {
	container := compose(t, rootFacts, func(s *specs.Spec) {
		s.Linux.Resources = resources(t, `{"memory":{"limit":100,"swap":200},"cpu":{"quota":5000,"shares":10},"pids":{"limit":5}}`)
	})
	update, after, _, err := Update(container, resources(t, `{"memory":{"limit":150},"cpu":{"burst":4000},"pids":{"limit":0}}`), rootFacts)
	if err != nil {
		t.Fatal(err)
	}
	if m := update.Memory; *m.LimitBytes != 150 || m.TotalBytes != nil || update.CPU.Shares != nil || update.Tasks == nil || *update.Tasks != 0 {
		t.Errorf("update %+v", update)
	}
	if m := after.Memory; *m.LimitBytes != 150 || *m.TotalBytes != 200 || *after.CPU.Shares != 10 || *after.CPU.BurstUS != 4000 {
		t.Errorf("after %+v", after)
	}
	if *container.Cgroup.Limits.Memory.LimitBytes != 100 {
		t.Error("the container's plan was changed")
	}
	_, _, _, err = Update(container, resources(t, `{"memory":{"limit":201}}`), rootFacts)
	want(t, err, "memory.swap", "200 is below memory.limit, 201", "#memory")
	_, _, _, err = Update(container, resources(t, `{"cpu":{"burst":5001}}`), rootFacts)
	want(t, err, "cpu.burst", "5001 is above", "#cpu")
	if update, after, _, err = Update(container, resources(t, `{}`), rootFacts); err != nil || update != nil || !reflect.DeepEqual(after, container.Cgroup.Limits) {
		t.Errorf("nothing to update: %+v, %+v, %v", update, after, err)
	}
}

func TestReadResources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.json")
	if err := os.WriteFile(file, []byte(`{"pids": {"limit": "x"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadResources(file); err == nil || !strings.Contains(err.Error(), "limits.json:1:") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(file, []byte(`{"pids": {"limit": 3}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := ReadResources(file); err != nil || *r.Pids.Limit != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// config-linux.md#cgroup-ownership: if and only if the cgroup file system is
// mounted writable, in a cgroup namespace that is new, on v2.
func TestCgroupOwner(t *testing.T) {
	mount := specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid"}}
	for _, tc := range []struct {
		name   string
		facts  host.CgroupMode
		mutate func(s *specs.Spec)
		want   *uint32
	}{
		{"user namespace", host.CgroupV2, addUserNamespace, ptr(uint32(1000))},
		{"a user of it", host.CgroupV2, func(s *specs.Spec) { addUserNamespace(s); s.Process.User.UID = 5 }, ptr(uint32(1005))},
		{"root of the host", host.CgroupV2, func(*specs.Spec) {}, nil},
		{"a user of the host", host.CgroupV2, func(s *specs.Spec) { s.Process.User.UID = 5 }, ptr(uint32(5))},
		{"read-only", host.CgroupV2, func(s *specs.Spec) {
			addUserNamespace(s)
			s.Mounts[len(s.Mounts)-1].Options = []string{"ro"}
		}, nil},
		{"elsewhere", host.CgroupV2, func(s *specs.Spec) { addUserNamespace(s); s.Mounts[len(s.Mounts)-1].Destination = "/cg" }, nil},
		{"no cgroup namespace", host.CgroupV2, func(s *specs.Spec) { addUserNamespace(s); dropNamespace(s, specs.CgroupNamespace) }, nil},
		{"hybrid", host.CgroupHybrid, addUserNamespace, nil},
	} {
		p := compose(t, factsWith(tc.facts), func(s *specs.Spec) {
			dropNamespace(s, specs.CgroupNamespace)
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
			s.Mounts = append(s.Mounts, mount)
			tc.mutate(s)
		})
		if got := p.Cgroup.OwnerUID; !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
