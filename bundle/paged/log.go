package paged

// Log is bytes that are only added to. Close it.
type Log struct {
	pages *pages
	size  int64
}

// NewLog keeps so many bytes in memory.
func NewLog(memory int) *Log { return &Log{pages: newPages(memory)} }

// Size is where the next bytes go.
func (l *Log) Size() int64 { return l.size }

// Append adds bytes.
func (l *Log) Append(b []byte) {
	for len(b) > 0 {
		at := int(l.size % pageSize)
		var page []byte
		if at == 0 {
			_, page = l.pages.add()
		} else {
			page = l.pages.get(uint32(l.size/pageSize), true)
		}
		n := copy(page[at:], b)
		b = b[n:]
		l.size += int64(n)
	}
}

// Read fills b with what is at an offset. There must be that much.
func (l *Log) Read(b []byte, offset int64) {
	for len(b) > 0 {
		page := l.pages.get(uint32(offset/pageSize), false)
		n := copy(b, page[offset%pageSize:])
		b = b[n:]
		offset += int64(n)
	}
}

// Err is the first error of the file.
func (l *Log) Err() error { return l.pages.err }

// Close gives up what is on disk.
func (l *Log) Close() { l.pages.close() }
