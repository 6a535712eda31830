package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestGeneratedDecoderAgrees decodes every config of the golden tests with the
// generated code and with encoding/json.
func TestGeneratedDecoderAgrees(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configs: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var fast, slow specs.Spec
		slowErr := json.Unmarshal(data, &slow)
		if err := decodeFast(data, &fast); (err == nil) != (slowErr == nil) {
			t.Errorf("%s: generated %v, encoding/json %v", file, err, slowErr)
			continue
		}
		if !reflect.DeepEqual(fast, slow) {
			t.Errorf("%s: generated\n%+v\nencoding/json\n%+v", file, fast, slow)
		}
	}
}

// TestPlanSurvivesTheWire encodes plans as the init stage receives them.
func TestPlanSurvivesTheWire(t *testing.T) {
	files, err := filepath.Glob("testdata/*.plan.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden struct{ Plan *Plan }
		var want Plan
		if err := json.Unmarshal(data, &golden); err != nil {
			t.Fatal(err)
		}
		if golden.Plan != nil {
			want = *golden.Plan
		} else if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		sent, err := fastjson.Marshal(&want)
		if err != nil {
			t.Fatal(err)
		}
		var got Plan
		if err := fastjson.Unmarshal(sent, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: sent\n%+v\nreceived\n%+v", file, want, got)
		}
	}
}
