package protocol

import (
	"encoding/binary"
	"errors"
)

// errTags says that tagged fields run past their end.
var errTags = errors.New("tagged fields run past the end")

// SkipTags returns what follows the tagged fields (KIP-482) that b begins with.
func SkipTags(b []byte) ([]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil, errTags
	}
	b = b[n:]
	for range count {
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errTags
		}
		size, m := binary.Uvarint(b[n:])
		if m <= 0 || size > uint64(len(b)-n-m) {
			return nil, errTags
		}
		b = b[n+m+int(size):]
	}
	return b, nil
}
