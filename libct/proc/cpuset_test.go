package proc

import (
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func getMemPolicy(mode *int32, nodes *[32]uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(mode)), uintptr(unsafe.Pointer(nodes)), unsafe.Sizeof(*nodes)*8, 0, 0, 0)
	return errno
}

func TestParseCPUSet(t *testing.T) {
	tests := []struct {
		in   string
		want CPUSet
		ok   bool
	}{
		{"", nil, true},
		{"  ", nil, true},
		{"0", CPUSet{1}, true},
		{"0-3,7", CPUSet{0x8f}, true},
		{" 0 - 1 , 2", nil, false}, // blanks stand around items, not inside
		{"0-1 , 2", CPUSet{7}, true},
		{"63-64", CPUSet{1 << 63, 1}, true},
		{"7,0-3", CPUSet{0x8f}, true},
		{"65535", CPUSet(nil).with(65535, 65535), true},
		{"65536", nil, false},
		{"99999999999999999999", nil, false},
		{"3-1", nil, false},
		{"1,,2", nil, false},
		{"1,", nil, false},
		{"-1", nil, false},
		{"1-", nil, false},
		{"a", nil, false},
		{"0x1", nil, false},
		{"+1", nil, false},
		{"0-7:2/4", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseCPUSet(tt.in)
			if (err == nil) != tt.ok || !slices.Equal(got, tt.want) {
				t.Errorf("ParseCPUSet = %x, %v; want %x", got, err, tt.want)
			}
		})
	}
}

func TestWordsKeepTheirBits(t *testing.T) {
	longs := words([]uint64{1, 1 << 63})
	bits := int(unsafe.Sizeof(uintptr(0))) * 8
	for n := range 128 {
		want := n == 0 || n == 127
		if got := longs[n/bits]&(1<<(n%bits)) != 0; got != want {
			t.Errorf("bit %d is %v", n, got)
		}
	}
}

func FuzzParseCPUSet(f *testing.F) {
	for _, seed := range []string{"", "0", "0-3,7", "63-64", "1,,2", "9-1", "65535", "65536", " 1 ", "0-7:2/4", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		set, err := ParseCPUSet(in)
		if err != nil {
			if set != nil {
				t.Error("a set beside an error")
			}
			return
		}
		again, err := ParseCPUSet(set.String())
		if err != nil || !slices.Equal(again, set) {
			t.Errorf("%q became %q, which reads as %x, %v; want %x", in, set.String(), again, err, set)
		}
	})
}
