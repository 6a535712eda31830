package seccomp

import "strings"

//go:generate ./generate

// calls is a table of system calls: sorted names without separators, and a row
// of numbers for each. It is data only; nothing is computed when hako starts.
type calls struct {
	names    string
	ends     []uint16 // of each name
	numbers  []int32  // a row for each name, -1 where the architecture lacks it
	columns  int
	byNumber [][]uint16 // for each column, the rows that it has, by their numbers
}

func (c *calls) name(i int) string {
	start := 0
	if i > 0 {
		start = int(c.ends[i-1])
	}
	return c.names[start:c.ends[i]]
}

func (c *calls) number(row, column int) (number uint32, ok bool) {
	n := c.numbers[row*c.columns+column]
	return uint32(n), n >= 0
}

// finder looks names up. Profiles are mostly sorted, as the table is: it
// begins where the name before was.
type finder struct {
	calls *calls
	at    int
}

// find returns the row of a name, -1 if it is in no header of the kernel's.
func (f *finder) find(name string) int {
	c := f.calls
	low, high := 0, len(c.ends) // the name is in rows [low, high) or nowhere
	for step := 1; f.at+step < high && strings.Compare(c.name(f.at), name) <= 0; step *= 2 {
		low = f.at
		f.at += step
	}
	if strings.Compare(c.name(f.at), name) > 0 {
		high = f.at
	} else {
		low = f.at
	}
	for low < high {
		middle := (low + high) / 2
		switch order := strings.Compare(c.name(middle), name); {
		case order == 0:
			f.at = middle
			return middle
		case order < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	f.at = min(low, len(c.ends)-1)
	return -1
}

// mux says which families of calls can also be made by one number for all, with
// the call as first argument: socketcall(2), ipc(2).
type mux bool

const muxBoth mux = true

// through are the calls that stand for families.
var through = [...]string{"ipc", "socketcall"}

// muxed is a call that has a number among the arguments of another.
type muxed struct {
	name, through string
	number        uint64
}

// muxedCalls are what socketcall(2) and ipc(2) do; linux/net.h, linux/ipc.h.
var muxedCalls = [...]muxed{
	{"accept", "socketcall", 5},
	{"accept4", "socketcall", 18},
	{"bind", "socketcall", 2},
	{"connect", "socketcall", 3},
	{"getpeername", "socketcall", 7},
	{"getsockname", "socketcall", 6},
	{"getsockopt", "socketcall", 15},
	{"listen", "socketcall", 4},
	{"msgctl", "ipc", 14},
	{"msgget", "ipc", 13},
	{"msgrcv", "ipc", 12},
	{"msgsnd", "ipc", 11},
	{"recv", "socketcall", 10},
	{"recvfrom", "socketcall", 12},
	{"recvmmsg", "socketcall", 19},
	{"recvmsg", "socketcall", 17},
	{"semctl", "ipc", 3},
	{"semget", "ipc", 2},
	{"semop", "ipc", 1},
	{"semtimedop", "ipc", 4},
	{"send", "socketcall", 9},
	{"sendmmsg", "socketcall", 20},
	{"sendmsg", "socketcall", 16},
	{"sendto", "socketcall", 11},
	{"setsockopt", "socketcall", 14},
	{"shmat", "ipc", 21},
	{"shmctl", "ipc", 24},
	{"shmdt", "ipc", 22},
	{"shmget", "ipc", 23},
	{"shutdown", "socketcall", 13},
	{"socket", "socketcall", 1},
	{"socketpair", "socketcall", 8},
}

// index is the place in [through] of what the call is made through.
func (m *muxed) index() int {
	if m.through == through[0] {
		return 0
	}
	return 1
}

// muxedCall is the entry of a name, nil if there is none.
func muxedCall(name string) *muxed {
	low, high := 0, len(muxedCalls)
	for low < high {
		middle := (low + high) / 2
		if muxedCalls[middle].name < name {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(muxedCalls) && muxedCalls[low].name == name {
		return &muxedCalls[low]
	}
	return nil
}
