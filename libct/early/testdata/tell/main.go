// Command tell prints, as JSON, what it began with; "tell exec" has a shell print
// the limits that a program of its gets. The test links it as hako is.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"syscall"

	_ "github.com/hako-runtime/hako/libct/early"
)

func main() {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if len(os.Args) > 1 && os.Args[1] == "exec" {
		err = syscall.Exec("/bin/sh", []string{"sh", "-c", "ulimit -S -n; ulimit -H -n"}, nil)
	}
	if err != nil {
		panic(err)
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"Args": os.Args[1:], "Env": os.Environ(), "Procs": runtime.GOMAXPROCS(0),
		"Soft": limit.Cur, "Hard": limit.Max,
	})
	if err != nil {
		panic(err)
	}
}
