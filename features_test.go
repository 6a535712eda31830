package main

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go/features"
)

func TestFeaturesFollowTheSchema(t *testing.T) {
	out, stderr, code := hako("features")
	if code != 0 {
		t.Fatal(stderr)
	}
	validate(t, "features-schema.json", []byte(out))
	var f features.Features
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"ro", "rbind", "rro", "rnosuid", "idmap", "ridmap", "tmpcopyup", "rslave", "relatime"} {
		if !slices.Contains(f.MountOptions, option) {
			t.Errorf("mount option %s is missing", option)
		}
	}
	if !slices.Contains(f.Linux.Capabilities, "CAP_CHECKPOINT_RESTORE") || !slices.Contains(f.Linux.MemoryPolicy.Modes, "MPOL_BIND") {
		t.Errorf("%s", out)
	}
}
