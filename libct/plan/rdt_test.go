package plan

import (
	"errors"
	"reflect"
	"testing"

	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestUpdateRDT(t *testing.T) {
	own := &rdt.Group{ClosID: "c1", ID: "c1", Schemata: []string{"L3:0=f", "MB:0=20", "L2:0=1"}, Monitoring: true}
	for _, tt := range []struct {
		name          string
		has           *rdt.Group
		spec          specs.LinuxIntelRdt
		update, after []string
		refused       bool
	}{
		{"none before", nil, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1", MemBwSchema: "MB:0=70"}, []string{"L3:0=1", "MB:0=70"}, []string{"L3:0=1", "MB:0=70"}, false},
		{"cache", own, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1"}, []string{"L3:0=1"}, []string{"MB:0=20", "L2:0=1", "L3:0=1"}, false},
		{"bandwidth", own, specs.LinuxIntelRdt{MemBwSchema: "MB:0=70"}, []string{"MB:0=70"}, []string{"L3:0=f", "L2:0=1", "MB:0=70"}, false},
		{"no bandwidth", own, specs.LinuxIntelRdt{MemBwSchema: "L3:0=70"}, nil, nil, true},
		{"two lines", own, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1\nMB:0=1"}, nil, nil, true},
		{"a shared class", &rdt.Group{ClosID: "gold", ID: "c1", Explicit: true}, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1"}, nil, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			update, after, err := UpdateRDT(&Plan{ID: "c1", RDT: tt.has}, &tt.spec)
			if tt.refused {
				if !errors.As(err, new(Invalid)) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(update.Schemata, tt.update) || !reflect.DeepEqual(after.Schemata, tt.after) {
				t.Errorf("update %q, after %q", update.Schemata, after.Schemata)
			}
			if after.ClosID != "c1" || after.Explicit || after.Monitoring != (tt.has != nil) {
				t.Errorf("%+v", after)
			}
		})
	}
	if !reflect.DeepEqual(own.Schemata, []string{"L3:0=f", "MB:0=20", "L2:0=1"}) {
		t.Error("the container's plan was changed")
	}
}
