package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A record is
//
//	magic | when (seconds, nanoseconds)
//	one stamp for each entry of the manifest, in its order
//	SHA-256 of the manifest | SHA-256 of all before
//
// with numbers in little endian. One that does not fit is as good as none:
// files are hashed then.
const (
	recordMagic = "hako-snapshot 1\n"
	headSize    = len(recordMagic) + 16
	stampSize   = 8 + 2*12
	tailSize    = 2 * sha256.Size
)

// stamps is a record that was read.
type stamps struct {
	when unix.Timespec
	all  []byte
}

// recordWriter writes a record.
type recordWriter struct {
	file *os.File
	out  *bufio.Writer
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// createRecord begins the record by asking the file system what time it is.
func createRecord(path string) (*recordWriter, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	w := &recordWriter{file, bufio.NewWriterSize(&teeWriter{file, h}, 32<<10), h}
	when, err := touch(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	head := appendTime([]byte(recordMagic), when, 8)
	_, err = w.out.Write(head)
	return w, err
}

// touch makes the file system stamp the file with its present time, in the
// granularity that other files get.
func touch(file *os.File) (unix.Timespec, error) {
	if _, err := file.Write([]byte{0}); err != nil {
		return unix.Timespec{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return unix.Timespec{}, os.NewSyscallError("fstat", err)
	}
	if err := file.Truncate(0); err != nil {
		return unix.Timespec{}, err
	}
	_, err := file.Seek(0, io.SeekStart)
	return st.Ctim, err
}

func appendTime(b []byte, t unix.Timespec, nsecBytes int) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Sec))
	if nsecBytes == 8 {
		return binary.LittleEndian.AppendUint64(b, uint64(t.Nsec))
	}
	return binary.LittleEndian.AppendUint32(b, uint32(t.Nsec))
}

func (w *recordWriter) add(s stamp) error {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, stampSize), s.inode)
	b = appendTime(appendTime(b, s.mtime, 4), s.ctime, 4)
	_, err := w.out.Write(b)
	return err
}

func (w *recordWriter) finish(manifest [sha256.Size]byte) error {
	if _, err := w.out.Write(manifest[:]); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	_, err := w.file.Write(w.hash.Sum(nil))
	return err
}

// readStamps reads the record of a manifest of n entries with this hash; nil
// if there is none that fits.
func readStamps(path string, manifest [sha256.Size]byte, n int) (*stamps, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	want := int64(headSize) + int64(n)*int64(stampSize) + int64(tailSize)
	if !info.Mode().IsRegular() || info.Size() != want {
		return nil, nil
	}
	data := make([]byte, want)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, nil
	}
	if !bytes.HasPrefix(body, []byte(recordMagic)) || !bytes.HasSuffix(body, manifest[:]) {
		return nil, nil
	}
	at := body[len(recordMagic):]
	return &stamps{
		when: unix.Timespec{Sec: int64(binary.LittleEndian.Uint64(at)), Nsec: int64(binary.LittleEndian.Uint64(at[8:]))},
		all:  body[headSize:],
	}, nil
}

// unchanged says whether the i-th entry's object is certainly the one that
// was recorded. A change in the instant of the record could have left the
// same stamp; so what was that young then does not count, as in git.
func (s *stamps) unchanged(i int, now stamp) bool {
	if s == nil {
		return false
	}
	b := s.all[i*stampSize:]
	was := stamp{
		inode: binary.LittleEndian.Uint64(b),
		mtime: readTime(b[8:]),
		ctime: readTime(b[20:]),
	}
	older := was.ctime.Sec < s.when.Sec || (was.ctime.Sec == s.when.Sec && was.ctime.Nsec < s.when.Nsec)
	return older && was == now
}

func readTime(b []byte) unix.Timespec {
	return unix.Timespec{Sec: int64(binary.LittleEndian.Uint64(b)), Nsec: int64(binary.LittleEndian.Uint32(b[8:]))}
}
