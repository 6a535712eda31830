package libct

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/hako-runtime/hako/libct/state"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

// TestHandOver plays init at the other ends of the FIFOs.
func TestHandOver(t *testing.T) {
	take := func(start *os.File) { _, _ = start.Read(make([]byte, 1)) }
	for _, c := range []struct {
		name string
		init func(start, result *os.File) // both are closed afterwards
		want string
		is   error
	}{
		{"executes", func(start, _ *os.File) { take(start) }, "", nil},
		{"tells why it cannot", func(start, result *os.File) {
			take(start)
			data, _ := fastjson.Marshal(wire.NewFailure("execute", unix.ENOEXEC))
			_, _ = result.Write(data)
		}, "execute: exec format error", unix.ENOEXEC},
		{"is killed before it takes the byte", func(*os.File, *os.File) { time.Sleep(50 * time.Millisecond) }, "its process is gone: container not running", ErrNotRunning},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := state.Reserve(t.TempDir(), "web")
			if err != nil {
				t.Fatal(err)
			}
			defer d.Unlock()
			start, result, err := d.MakeFIFOs()
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				c.init(start, result)
				start.Close()
				result.Close()
				close(done)
			}()
			ct := &Container{dir: d}
			err = ct.handOver()
			<-done
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !errors.Is(err, c.is)) {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if err := ct.handOver(); !errors.Is(err, ErrNotRunning) {
				t.Errorf("afterwards: %v, want ErrNotRunning", err)
			}
		})
	}
}
