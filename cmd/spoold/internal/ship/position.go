package ship

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// HeadSize and MarkerSize bound the bytes that a Position keeps to recognise its file by.
const (
	HeadSize   = 128
	MarkerSize = 64
)

// maxPath bounds the path in an encoded Position, whose size a note limits. A longer path is cut off:
// it is used for messages and to find rotated files, not to recognise a file.
const maxPath = 1024

// FileID is how the file system names a file. It may be given to another file once the first
// one is removed.
type FileID struct{ Dev, Ino uint64 }

// Position is how far a file was read. It is committed to the spool together with the records.
type Position struct {
	FileID
	ID      uint64 // of this position in its spool; higher is newer
	Path    string // where the file was seen last
	Offset  int64  // bytes that are spooled or skipped; in a gzip file, of its content
	Records uint64 // spooled so far
	Head    []byte // the first min(Offset, HeadSize) bytes
	Marker  []byte // the last min(Offset, MarkerSize) bytes before Offset
	Gzip    bool   // the file is compressed
	Ignored bool   // the file was there before this log was followed for the first time: it is not read
	MidLine bool   // the last record had no delimiter: it was the end of the file at that time
	Cut     bool   // its bytes are in no file any more, and that was reported
	OfLog   bool   // records name the log, not this file: it had the log's own name, or took the bytes of the file that had it
}

// Name is what records of the file are named after. It stays the same when the file is renamed or compressed.
func (p *Position) Name() string {
	n := ParseName(p.Path)
	if p.OfLog {
		return n.Base
	}
	return strings.TrimSuffix(p.Path, ".gz")
}

// Advance moves the position over data, which begins at Offset.
func (p *Position) Advance(data []byte) {
	if room := HeadSize - len(p.Head); room > 0 && p.Offset == int64(len(p.Head)) {
		p.Head = append(p.Head[:len(p.Head):len(p.Head)], data[:min(room, len(data))]...)
	}
	if len(data) >= MarkerSize {
		p.Marker = bytes.Clone(data[len(data)-MarkerSize:])
	} else {
		keep := min(len(p.Marker), MarkerSize-len(data))
		p.Marker = append(bytes.Clone(p.Marker[len(p.Marker)-keep:]), data...)
	}
	p.Offset += int64(len(data))
}

// Fits reports whether a file is the one that p was made from: head are its first bytes, at least as many
// as p has, and before are the bytes in front of p.Offset.
func (p *Position) Fits(head, before []byte) bool {
	return bytes.HasPrefix(head, p.Head) && bytes.HasSuffix(before, p.Marker)
}

const positionVersion = 1

// Encode is the position as a note holds it. The ID is part of the note's name.
func (p *Position) Encode() []byte {
	flags := byte(0)
	for i, set := range []bool{p.Gzip, p.Ignored, p.MidLine, p.OfLog, p.Cut} {
		if set {
			flags |= 1 << i
		}
	}
	path := p.Path
	if len(path) > maxPath {
		path = path[:maxPath]
	}
	b := []byte{positionVersion, flags}
	for _, n := range []uint64{p.Dev, p.Ino, uint64(p.Offset), p.Records} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range [][]byte{p.Head, p.Marker, []byte(path)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

var errPosition = errors.New("a file's position in the spool cannot be read")

// DecodePosition reads what Encode wrote.
func DecodePosition(id uint64, b []byte) (*Position, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: it has %d bytes", errPosition, len(b))
	}
	if b[0] != positionVersion {
		return nil, fmt.Errorf("%w: it has version %d, this program reads %d", errPosition, b[0], positionVersion)
	}
	p := &Position{ID: id, Gzip: b[1]&1 != 0, Ignored: b[1]&2 != 0, MidLine: b[1]&4 != 0, OfLog: b[1]&8 != 0, Cut: b[1]&16 != 0}
	b = b[2:]
	var offset uint64
	for _, n := range []*uint64{&p.Dev, &p.Ino, &offset, &p.Records} {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, fmt.Errorf("%w: a number is cut off", errPosition)
		}
		*n, b = v, b[size:]
	}
	p.Offset = int64(offset)
	var path []byte
	for _, s := range []*[]byte{&p.Head, &p.Marker, &path} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, fmt.Errorf("%w: a text is cut off", errPosition)
		}
		*s, b = bytes.Clone(b[size:size+int(n)]), b[size+int(n):]
	}
	p.Path = string(path)
	if p.Offset < 0 || len(b) > 0 || int64(len(p.Head)) > p.Offset || int64(len(p.Marker)) > p.Offset || len(p.Head) > HeadSize || len(p.Marker) > MarkerSize {
		return nil, fmt.Errorf("%w: its lengths do not fit together", errPosition)
	}
	return p, nil
}
