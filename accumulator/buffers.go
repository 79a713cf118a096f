package accumulator

import (
	"math/bits"

	"github.com/spoold/spoold/protocol"
)

// buffers are kept for the next batches, by size: least bytes, twice as many, and so on; and those of quiet partitions, which
// are of any size up to half of least, by the power of two below it. So a thousand partitions make no garbage, which Go
// would let grow to as much again before it collects it.
type buffers struct {
	least int
	free  [classes][][]byte
	small [smallClasses][][]byte
	bytes int // of all
}

const (
	classes  = 5  // sizes of buffers: so a batch has at most 16 times batch.size before it is compressed
	keptMost = 64 // of one size

	smallLeast   = 512 // bytes
	smallClasses = 17  // to 64 MiB
	lookMost     = 8   // buffers of a class that are looked at
)

// class is the smallest size of kept buffers that has room for n bytes; ok is false if none has.
func (f *buffers) class(n int) (k, size int, ok bool) {
	for size = f.least; k < classes; k, size = k+1, 2*size {
		if n <= size {
			return k, size, true
		}
	}
	return 0, n, false
}

// put keeps a buffer that nobody uses any more, if it has one of the sizes.
func (f *buffers) put(buf []byte) {
	if c := cap(buf); c >= smallLeast && c <= f.least/2 {
		k := min(bits.Len(uint(c/smallLeast))-1, smallClasses-1)
		f.small[k] = append(f.small[k], buf[:protocol.BatchHeaderSize])
		f.bytes += c
		return
	}
	k, size, ok := f.class(cap(buf))
	if !ok || size != cap(buf) || len(f.free[k]) >= keptMost {
		return
	}
	f.free[k] = append(f.free[k], buf[:protocol.BatchHeaderSize])
	f.bytes += size
}

// take returns a kept buffer of class k, or nil.
func (f *buffers) take(k int) []byte {
	n := len(f.free[k])
	if n == 0 {
		return nil
	}
	buf := f.free[k][n-1]
	f.free[k][n-1] = nil
	f.free[k] = f.free[k][:n-1]
	f.bytes -= cap(buf)
	return buf
}

// takeSmall returns a kept buffer of c bytes or more, but at most twice as many and most, or nil. It looks at a few.
func (f *buffers) takeSmall(c, most int) []byte {
	if c > f.least/2 {
		return nil
	}
	for k := bits.Len(uint(c/smallLeast)) - 1; k >= 0 && k < smallClasses && smallLeast<<k <= 2*c; k++ {
		for n := len(f.small[k]) - 1; n >= max(len(f.small[k])-lookMost, 0); n-- {
			if x := cap(f.small[k][n]); x >= c && x <= min(most, 2*c) {
				return f.dropSmall(k, n)
			}
		}
	}
	return nil
}

func (f *buffers) dropSmall(k, n int) []byte {
	list := f.small[k]
	buf, last := list[n], len(list)-1
	list[n], list[last] = list[last], nil
	f.small[k] = list[:last]
	f.bytes -= cap(buf)
	return buf
}

// trim gives up buffers, the largest first, until they take at most so many bytes.
func (f *buffers) trim(most int) {
	for k := classes - 1; k >= 0; k-- {
		for f.bytes > most && f.take(k) != nil {
		}
	}
	for k := smallClasses - 1; k >= 0; k-- {
		for f.bytes > most && len(f.small[k]) > 0 {
			f.dropSmall(k, len(f.small[k])-1)
		}
	}
}

// buffer makes room for a batch whose first record takes size bytes, and reports false if the
// budget has none. hint is how large the partition's last batch became, most what the next one may:
// quiet partitions stay small. The first batch of all may always be made: a record larger than the
// whole budget must still go.
func (a *Accumulator) buffer(size, hint, most int) ([]byte, bool) {
	want := protocol.BatchHeaderSize + size
	c := max(want, min(hint+hint/8, most), 512)
	if c > a.cfg.BatchSize && want <= a.cfg.BatchSize && !a.Room(2*c) {
		c = a.cfg.BatchSize
	}
	k, whole, ok := a.free.class(c)
	if ok = ok && c > a.cfg.BatchSize/2 && want <= a.most; ok {
		c = whole
	}
	if a.used > 0 && !a.Room(c) {
		return nil, false
	}
	if !ok {
		if buf := a.free.takeSmall(c, a.largest()); buf != nil {
			a.used += a.cost(cap(buf))
			return buf, true
		}
	}
	a.used += a.cost(c)
	if ok {
		if buf := a.free.take(k); buf != nil {
			return buf, true
		}
	}
	a.free.trim(a.cfg.BufferMemory - a.used)
	return make([]byte, protocol.BatchHeaderSize, c), true
}

// grow gives b room for size more bytes and reports false if the budget has none.
func (a *Accumulator) grow(b *Batch, size int) bool {
	need := len(b.Buf) + size
	if need <= cap(b.Buf) {
		return true
	}
	c := max(min(2*cap(b.Buf), a.cfg.BatchSize), need)
	k, whole, ok := a.free.class(c)
	ok = ok && c <= a.most && a.Room(whole-cap(b.Buf)) && (need > a.cfg.BatchSize || len(a.free.free[k]) > 0)
	if ok {
		c = whole
	}
	if !a.Room(c - cap(b.Buf)) {
		return false
	}
	var buf []byte
	if ok {
		buf = a.free.take(k)
	} else if buf = a.free.takeSmall(c, cap(b.Buf)+a.largest()); buf != nil {
		c = cap(buf)
	}
	a.used += a.cost(c - cap(b.Buf))
	if buf == nil {
		buf = make([]byte, 0, c)
	}
	before := b.Buf
	b.Buf = append(buf[:0], before...)
	a.free.put(before)
	a.free.trim(a.cfg.BufferMemory - a.used)
	return true
}

// largest is how many bytes more fit into the budget.
func (a *Accumulator) largest() int {
	left := max(a.cfg.BufferMemory-a.used, 0)
	if a.cfg.Compressed {
		return left / 2
	}
	return left
}
