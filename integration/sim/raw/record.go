package raw

import "encoding/binary"

// Record is one record of a batch.
type Record struct {
	Timestamp  int64
	Key, Value []byte // nil: null
	Headers    []Header
}

// Header of a record.
type Header struct{ Key, Value []byte }

// Records calls yield with each record of an uncompressed batch and reports whether all could be read and were as
// many as the header says (DefaultRecordBatch's iterator, DefaultRecord.readFrom). Keys and values are the batch's bytes.
func (b Batch) Records(yield func(i int, r Record)) bool {
	d := varints{b: b[HeaderSize:]}
	first, n := b.FirstTime(), int(b.Count())
	for i := range n {
		size := d.next()
		if d.bad || size < 0 || size > int64(len(d.b)) {
			return false
		}
		in := varints{b: d.b[:size]}
		d.b = d.b[size:]
		in.skip(1) // attributes
		r := Record{Timestamp: first + in.next()}
		in.next() // offset delta: a leader does not look at it
		r.Key, r.Value = in.bytes(), in.bytes()
		for range in.count() {
			h := Header{Key: in.bytes()}
			h.Value = in.bytes()
			if h.Key == nil {
				return false
			}
			r.Headers = append(r.Headers, h)
		}
		if in.bad || len(in.b) != 0 {
			return false
		}
		yield(i, r)
	}
	return len(d.b) == 0
}

// varints reads zigzag numbers and what they measure.
type varints struct {
	b   []byte
	bad bool
}

func (d *varints) next() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *varints) skip(n int) {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[n:]
}

func (d *varints) count() int {
	n := d.next()
	if n < 0 || n > int64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// bytes reads a length and so many bytes; any negative length is null.
func (d *varints) bytes() []byte {
	n := d.next()
	if n < 0 || d.bad {
		return nil
	}
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
