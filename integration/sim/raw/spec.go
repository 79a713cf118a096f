package raw

import "encoding/binary"

// Spec is a batch to be written. The zero value of each lie tells the truth.
type Spec struct {
	PID     int64
	Epoch   int16
	Base    int32 // base sequence
	Records []Record
	Flags   int16 // Control, Transactional, AppendTime

	// Lies.
	Offset    int64 // base offset; clients send 0
	AddCount  int32 // how many records more are said to be there
	AddDelta  int32 // by how much the last offset delta is too large
	BadSum    bool  // one bit of the checksum is turned
	Cut, Junk int   // so many bytes of the records are cut off; so many are added. The checksum is of what is left
}

// Bytes writes the batch.
func (s *Spec) Bytes() []byte {
	b := make(Batch, HeaderSize, HeaderSize+64*len(s.Records))
	var first, most int64 = -1, -1
	for i := range s.Records {
		if i == 0 {
			first = s.Records[i].Timestamp
		}
		most = max(most, s.Records[i].Timestamp)
		b = appendRecord(b, &s.Records[i], first, int64(i))
	}
	b = b[:len(b)-s.Cut]
	b = append(b, make([]byte, s.Junk)...)
	n := int32(len(s.Records))
	be := binary.BigEndian
	be.PutUint64(b[offBase:], uint64(s.Offset))
	be.PutUint32(b[offLength:], uint32(len(b)-12))
	be.PutUint32(b[offEpoch:], 1<<32-1) // clients do not know it: -1
	b[offMagic] = 2
	be.PutUint16(b[offAttributes:], uint16(s.Flags))
	be.PutUint32(b[offLastDelta:], uint32(n-1+s.AddDelta))
	be.PutUint64(b[offFirstTS:], uint64(first))
	be.PutUint64(b[offMaxTS:], uint64(most))
	be.PutUint64(b[offPID:], uint64(s.PID))
	be.PutUint16(b[offPEpoch:], uint16(s.Epoch))
	be.PutUint32(b[offSequence:], uint32(s.Base))
	be.PutUint32(b[offCount:], uint32(n+s.AddCount))
	b.sum()
	if s.BadSum {
		b[offCRC] ^= 1
	}
	return b
}

func appendRecord(b []byte, r *Record, first, delta int64) []byte {
	body := []byte{0}
	body = binary.AppendVarint(body, r.Timestamp-first)
	body = binary.AppendVarint(body, delta)
	body = appendBytes(body, r.Key)
	body = appendBytes(body, r.Value)
	body = binary.AppendVarint(body, int64(len(r.Headers)))
	for _, h := range r.Headers {
		body = appendBytes(body, h.Key)
		body = appendBytes(body, h.Value)
	}
	b = binary.AppendVarint(b, int64(len(body)))
	return append(b, body...)
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}
