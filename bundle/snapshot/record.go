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

// stamps is a record that was read; a window of it is in memory.
type stamps struct {
	file   *os.File
	when   unix.Timespec
	window []byte
	first  int // entry in the window
}

// windowEntries is how many stamps are read at a time.
const windowEntries = 4096

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

// openStamps opens the record of a manifest of n entries with this hash; nil
// if there is none that fits.
func openStamps(path string, manifest [sha256.Size]byte, n int) (*stamps, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &stamps{file: f, first: -1}
	fits, err := s.check(manifest, n)
	if err != nil || !fits {
		f.Close()
		return nil, err
	}
	return s, nil
}

// check says whether the record is whole, and of this manifest.
func (s *stamps) check(manifest [sha256.Size]byte, n int) (bool, error) {
	info, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	bodySize := int64(headSize) + int64(n)*int64(stampSize) + sha256.Size
	if !info.Mode().IsRegular() || info.Size() != bodySize+sha256.Size {
		return false, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(s.file, 0, bodySize)); err != nil {
		return false, err
	}
	head, tail := make([]byte, headSize), make([]byte, tailSize)
	if _, err := s.file.ReadAt(head, 0); err != nil {
		return false, err
	}
	if _, err := s.file.ReadAt(tail, bodySize-sha256.Size); err != nil {
		return false, err
	}
	at := head[len(recordMagic):]
	s.when = unix.Timespec{Sec: int64(binary.LittleEndian.Uint64(at)), Nsec: int64(binary.LittleEndian.Uint64(at[8:]))}
	return bytes.HasPrefix(head, []byte(recordMagic)) && bytes.Equal(tail, h.Sum(manifest[:])), nil
}

func (s *stamps) close() {
	if s != nil {
		s.file.Close()
	}
}

// at returns the stamp of an entry, which must be one of the manifest.
func (s *stamps) at(i int) ([]byte, error) {
	if first := i - i%windowEntries; first != s.first {
		if s.window == nil {
			s.window = make([]byte, windowEntries*stampSize)
		}
		// The last window also holds what follows, or is shorter.
		n, err := s.file.ReadAt(s.window, int64(headSize)+int64(first)*int64(stampSize))
		if err != nil && (err != io.EOF || n < (i-first+1)*stampSize) {
			return nil, err
		}
		s.first = first
	}
	return s.window[(i-s.first)*stampSize:][:stampSize], nil
}

// unchanged says whether the i-th entry's object is certainly the one that
// was recorded. A change in the instant of the record could have left the
// same stamp; so what was that young then does not count, as in git.
func (s *stamps) unchanged(i int, now stamp) (bool, error) {
	if s == nil {
		return false, nil
	}
	b, err := s.at(i)
	if err != nil {
		return false, err
	}
	was := stamp{
		inode: binary.LittleEndian.Uint64(b),
		mtime: readTime(b[8:]),
		ctime: readTime(b[20:]),
	}
	older := was.ctime.Sec < s.when.Sec || (was.ctime.Sec == s.when.Sec && was.ctime.Nsec < s.when.Nsec)
	return older && was == now, nil
}

func readTime(b []byte) unix.Timespec {
	return unix.Timespec{Sec: int64(binary.LittleEndian.Uint64(b)), Nsec: int64(binary.LittleEndian.Uint32(b[8:]))}
}
