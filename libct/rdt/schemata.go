package rdt

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// compare refuses an existing class whose schemata are not the configured
// ones. Cache and resource ids the config does not mention may be anything.
func (fs FS) compare(g Group) error {
	data, err := os.ReadFile(filepath.Join(fs.class(g), "schemata"))
	if err != nil {
		return fmt.Errorf("closID %s: %w", g.ClosID, err)
	}
	have := map[string]map[string]string{}
	for line := range strings.SplitSeq(string(data), "\n") {
		if resource, domains, ok := parseLine(line); ok {
			have[resource] = domains
		}
	}
	for _, line := range g.Schemata {
		resource, want, ok := parseLine(line)
		if !ok {
			return fmt.Errorf("schemata %q: want RESOURCE:ID=VALUE;…", line)
		}
		for id, value := range want {
			if !sameValue(fs.rounded(resource, value), have[resource][id]) {
				return fmt.Errorf("closID %s exists with other schemata: %s:%s=%s, want %s",
					g.ClosID, resource, id, have[resource][id], value)
			}
		}
	}
	return nil
}

// parseLine reads "  L3:0=7f0;1=1f" into the resource and a value for each id.
func parseLine(line string) (resource string, domains map[string]string, ok bool) {
	resource, list, ok := strings.Cut(strings.TrimSpace(line), ":")
	if !ok || resource == "" {
		return "", nil, false
	}
	domains = map[string]string{}
	for item := range strings.SplitSeq(list, ";") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		id, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return "", nil, false
		}
		domains[withoutZeros(id)] = strings.TrimSpace(value)
	}
	return strings.TrimSpace(resource), domains, true
}

// rounded does to a bandwidth what the kernel does when it is written: up to
// the next step of info/MB/bandwidth_gran.
func (fs FS) rounded(resource, value string) string {
	if resource != "MB" {
		return value
	}
	data, err := os.ReadFile(filepath.Join(fs.dir(), "info", "MB", "bandwidth_gran"))
	if err != nil {
		return value
	}
	step, stepErr := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	n, err := strconv.ParseUint(value, 10, 32)
	if stepErr != nil || err != nil || step == 0 {
		return value
	}
	return strconv.FormatUint((n+step-1)/step*step, 10)
}

// sameValue compares numbers in the notation of the file: masks come back with
// leading zeros, in lower case.
func sameValue(a, b string) bool {
	return b != "" && strings.EqualFold(withoutZeros(a), withoutZeros(b))
}

func withoutZeros(s string) string {
	trimmed := strings.TrimLeft(s, "0")
	if trimmed == "" && s != "" {
		return "0"
	}
	return trimmed
}
