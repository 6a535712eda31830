package layer

import (
	"encoding/binary"
	"errors"
	"math"
)

// rootlessXattr keeps, for somebody who cannot chown, who owns a file inside
// the container; https://rootlesscontaine.rs, the protobuf message
//
//	message Resource { uint32 uid = 1; uint32 gid = 2; }
//
// in which 0, the default that protobuf leaves out, is written as 2^32-1.
const rootlessXattr = "user.rootlesscontainers"

const (
	tagUID       = 1 << 3 // field 1, varint
	tagGID       = 2 << 3
	noopOwner    = math.MaxUint32
	maxOwnerSize = 64 // of a message with unknown fields
)

// encodeOwner returns the value of the attribute; nil for root, who needs none.
func encodeOwner(uid, gid int) []byte {
	if uid == 0 && gid == 0 {
		return nil
	}
	var value []byte
	for _, field := range []struct {
		tag uint64
		id  int
	}{{tagUID, uid}, {tagGID, gid}} {
		id := uint64(field.id)
		if id == 0 {
			id = noopOwner
		}
		value = binary.AppendUvarint(value, field.tag)
		value = binary.AppendUvarint(value, id)
	}
	return value
}

var errOwner = errors.New("xattr " + rootlessXattr + ": malformed")

// decodeOwner reads the value; what is missing is 0. Fields that are not
// known are skipped if they are numbers.
func decodeOwner(value []byte) (uid, gid int, err error) {
	if len(value) > maxOwnerSize {
		return 0, 0, errOwner
	}
	for len(value) > 0 {
		tag, n := binary.Uvarint(value)
		if n <= 0 || tag&7 != 0 {
			return 0, 0, errOwner
		}
		id, m := binary.Uvarint(value[n:])
		if m <= 0 || id > math.MaxUint32 {
			return 0, 0, errOwner
		}
		value = value[n+m:]
		if id == noopOwner {
			id = 0
		}
		switch tag {
		case tagUID:
			uid = int(id)
		case tagGID:
			gid = int(id)
		}
	}
	return uid, gid, nil
}
