package differ

import (
	"encoding/binary"

	"github.com/spoold/spoold/integration/sim/raw"
)

const largeValue = 1500 // bytes, between the limits of the topic small

// bytes writes b, lies included. What it contains depends on nothing but b and now.
func (b *Batch) bytes(now int64) []byte {
	s := raw.Spec{PID: b.PID, Epoch: b.Epoch, Base: b.Base}
	for i := range b.Count {
		r := raw.Record{Timestamp: b.Age.at(now), Key: []byte{'k', byte(i)}, Value: binary.AppendVarint(nil, int64(b.Base)+int64(i))}
		if i == 0 {
			if b.Null {
				r.Key = nil
			}
			if b.Large {
				r.Value = make([]byte, largeValue)
			}
			if b.Heads {
				r.Headers = []raw.Header{{Key: []byte("h"), Value: []byte("x")}, {Key: []byte("empty")}}
			}
			if b.Mixed {
				r.Timestamp = Old.at(now)
			}
		}
		s.Records = append(s.Records, r)
	}
	switch b.Lie {
	case BadSum:
		s.BadSum = true
	case MoreCount:
		s.AddCount, s.AddDelta = 1, 1
	case LessCount:
		s.AddCount, s.AddDelta = -1, -1
	case BadDelta:
		s.AddDelta = 1
	case Control:
		s.Flags = raw.Control
	case InTxn:
		s.Flags = raw.Transactional
	case AppendStamp:
		s.Flags = raw.AppendTime
	case Offset5:
		s.Offset = 5
	case Cut:
		s.Cut = 2
	case Junk:
		s.Junk = 3
	case Empty:
		s.Records = nil
	case BadHeaderKey:
		s.Records[0].Headers = []raw.Header{{Value: []byte("x")}}
	}
	return b.spoil(s.Bytes())
}

// spoil tells those lies that are not about one batch.
func (b *Batch) spoil(out []byte) []byte {
	const lengthAt, magicAt = 8, 16
	switch b.Lie {
	case Two, HalfMore:
		next := raw.Spec{PID: b.PID, Epoch: b.Epoch, Base: b.Base + int32(b.Count), Records: []raw.Record{{Timestamp: -1, Key: []byte("k")}}}
		more := next.Bytes()
		if b.Lie == HalfMore {
			more = more[:len(more)/2]
		}
		return append(out, more...)
	case Nothing:
		return []byte{}
	case Short:
		binary.BigEndian.PutUint32(out[lengthAt:], uint32(len(out)))
	case TinyLength:
		binary.BigEndian.PutUint32(out[lengthAt:], 5)
	case OldMagic:
		out[magicAt] = 1
	case BadMagic:
		out[magicAt] = 9
	}
	return out
}
