package lossy

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/powercut"
)

// volume is one life of the disk, from one power cut to the next. Its methods are safe for concurrent use;
// those in lower case that take no lock say so.
type volume struct {
	set   Setting
	tell  func(Notice)        // must not call back
	pause func(time.Duration) // how long a sync takes

	mu     sync.Mutex
	change *sync.Cond // of power
	power  power
	disk   *powercut.Disk
	nodes  map[uint64]*node // by inode number
	modes  map[int]uint32   // by number of the file: they outlive the volume
	tick   int
	rng    *rand.Rand
	moment *Moment
	faults []Fault
	tally  powercut.Tally
	waits  int // calls that wait in the dark
}

type power uint8

const (
	lit  power = iota
	dark       // calls wait
	gone       // they fail
)

// node is a file as processes see it.
type node struct {
	file *powercut.File
	name string // "": unlinked
	mode uint32
	data []byte // what a read gets that the page cache does not answer: the beginning, the rest is zero
	size int64
}

// rootInode is that of the directory. A file's is its number above it.
const rootInode = 1

func (n *node) inode() uint64 { return uint64(n.file.Number) + rootInode }

// newVolume is a life of a disk. All that is on it is safe.
func newVolume(disk *powercut.Disk, modes map[int]uint32, set Setting, tell func(Notice)) *volume {
	v := &volume{set: set, tell: tell, disk: disk, nodes: map[uint64]*node{}, modes: modes, pause: time.Sleep,
		rng: rand.New(rand.NewPCG(set.Seed, 1)), tally: powercut.Tally{}}
	v.change = sync.NewCond(&v.mu)
	disk.Sort = sortOf
	for _, name := range disk.Names() {
		f := disk.Find(name)
		n := &node{file: f, name: name, mode: modes[f.Number]}
		n.data, n.size = f.Content()
		v.nodes[n.inode()] = n
	}
	return v
}

// sortOf is what the tally calls a file.
func sortOf(name string) string {
	switch filepath.Ext(name) {
	case ".tmp":
		return "a temporary file"
	case ".sock":
		return "the socket"
	case ".db":
		return "a segment"
	}
	return "another file"
}

// CutPower makes it dark now.
func (v *volume) CutPower() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.power == lit {
		v.darken("when told to")
	}
}

// darken takes no lock.
func (v *volume) darken(why string) {
	v.power, v.moment = dark, nil
	v.tell(Notice{Dark: why})
}

// Abandon fails the calls that wait in the dark, and all that come.
func (v *volume) Abandon() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.power = gone
	v.change.Broadcast()
}

// Survivors is what the cut leaves, by the choice of rng. The volume must be abandoned.
func (v *volume) Survivors(rng *rand.Rand) (*powercut.Disk, powercut.Tally) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.disk.Waiting() == 0 {
		v.tally["cut while nothing waited"]++
	}
	return v.disk.After(rng, v.tally), v.tally
}

// Arm cuts the power at a moment to come; nil: not by itself.
func (v *volume) Arm(m *Moment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.power == lit {
		v.moment = m
	}
}

// Fail lets calls fail; none: no more.
func (v *volume) Fail(faults ...Fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = faults
}

// lightOn waits while it is dark, and reports whether there is power. It takes no lock.
func (v *volume) lightOn() bool {
	v.waits++
	for v.power == dark {
		v.change.Wait()
	}
	v.waits--
	return v.power == lit
}

// Look counts calls since the power is on.
func (v *volume) Look() Look {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Look{Calls: v.tick, Waiting: v.waits}
}

// fault counts a call, and says how it fails, if it does. It takes no lock.
func (v *volume) fault(c Call, name string) syscall.Errno {
	for i := range v.faults {
		f := &v.faults[i]
		if f.Call != c {
			continue
		}
		if f.N--; f.N <= 0 && (f.More < 0 || -f.N <= f.More) {
			v.tell(Notice{Failed: fmt.Sprintf("%s: %v", c.of(name), f.Errno)})
			v.tally[fmt.Sprintf("%s failed: %v", c, f.Errno)]++
			return f.Errno
		}
	}
	return 0
}

// due counts a call, and reports whether the power is to be cut at it, and whether it is carried
// out before. It takes no lock.
func (v *volume) due(c Call) (cut, done bool) {
	m := v.moment
	if m == nil || m.Call != "" && m.Call != c {
		return false, false
	}
	m.N--
	if m.N <= 0 && m.Later > 0 {
		m.Call, m.N, m.Later = "", m.Later, 0
	}
	return m.N <= 0, m.Done
}

// do carries out a call that changes something and is over at once. It takes no lock.
func (v *volume) do(c Call, name string, change func(at powercut.When)) syscall.Errno {
	if errno := v.fault(c, name); errno != 0 {
		return errno
	}
	cut, done := v.due(c)
	v.tick++
	at := powercut.When{Start: v.tick, End: v.tick}
	if cut && !done {
		at.End = powercut.Never
	}
	change(at)
	if !cut {
		return 0
	}
	return v.cutAt(c, name, done)
}

// cutAt makes it dark at a call, which waits. It takes no lock.
func (v *volume) cutAt(c Call, name string, done bool) syscall.Errno {
	how := "under way"
	if done {
		how = "done but not answered"
	}
	v.tally[fmt.Sprintf("cut with a call %s: %s", how, c)]++
	v.darken(fmt.Sprintf("with a call %s: %s", how, c.of(name)))
	v.lightOn()
	return syscall.EIO
}

// find is a node by its inode number, when there is power. It takes no lock.
func (v *volume) find(inode uint64) (*node, syscall.Errno) {
	if !v.lightOn() {
		return nil, syscall.EIO
	}
	if n := v.nodes[inode]; n != nil {
		return n, 0
	}
	return nil, syscall.ENOENT
}

// with has do work on a node by its inode number, when there is power, under the lock.
func (v *volume) with(inode uint64, do func(*node) syscall.Errno) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, errno := v.find(inode)
	if errno != 0 {
		return errno
	}
	return do(n)
}

// Write writes data, which the volume keeps, at off.
func (v *volume) Write(inode uint64, off int64, data []byte) syscall.Errno {
	return v.with(inode, func(n *node) syscall.Errno {
		return v.do(Write, n.name, func(at powercut.When) {
			n.file.Write(off, data, at)
			end := off + int64(len(data))
			if grow := end - int64(len(n.data)); grow > 0 {
				n.data = append(n.data, make([]byte, grow)...)
			}
			copy(n.data[off:], data)
			n.size = max(n.size, end)
		})
	})
}

// Truncate makes a file end at size.
func (v *volume) Truncate(inode uint64, size int64) syscall.Errno {
	return v.with(inode, func(n *node) syscall.Errno {
		return v.do(Truncate, n.name, func(at powercut.When) {
			n.file.Truncate(size, at)
			n.data, n.size = n.data[:min(size, int64(len(n.data)))], size
			clear(n.data[len(n.data):cap(n.data)]) // what the file grows into again is zero
		})
	})
}

// Allocate makes a file end at size or later.
func (v *volume) Allocate(inode uint64, size int64) syscall.Errno {
	return v.with(inode, func(n *node) syscall.Errno {
		return v.do(Allocate, n.name, func(at powercut.When) {
			n.file.Allocate(size, at)
			n.size = max(n.size, size)
		})
	})
}

// Sync syncs a file.
func (v *volume) Sync(inode uint64) syscall.Errno {
	return v.with(inode, func(n *node) syscall.Errno {
		return v.sync(Sync, n.name, func(began int, errno syscall.Errno) {
			switch {
			case errno != 0:
				n.file.FailSync(began, v.rng, v.tally)
				if !v.set.KeepCache {
					n.data, n.size = n.file.Content()
				}
			case !v.set.LieFile:
				n.file.Sync(began)
			}
		})
	})
}

// SyncDir syncs the directory.
func (v *volume) SyncDir() syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return syscall.EIO
	}
	return v.sync(SyncDir, "", func(began int, errno syscall.Errno) {
		if errno == 0 && !v.set.LieDir {
			v.disk.SyncNames(began)
		}
	})
}

// sync carries out a sync, which takes time. The lock is taken, and given away meanwhile.
func (v *volume) sync(c Call, name string, end func(began int, errno syscall.Errno)) syscall.Errno {
	v.tick++
	began := v.tick
	armed := v.moment
	cut, done := v.due(c)
	if cut && !done {
		return v.cutAt(c, name, false)
	}
	if v.set.SyncTime > 0 {
		d := time.Duration(v.rng.Int64N(int64(v.set.SyncTime)))
		v.mu.Unlock()
		v.pause(d)
		v.mu.Lock()
	}
	if !v.lightOn() { // the power was cut while it was under way
		return syscall.EIO
	}
	errno := v.fault(c, name)
	end(began, errno)
	if cut && v.moment == armed { // else Arm was called meanwhile
		return v.cutAt(c, name, true)
	}
	return errno
}

// Read reads at off, as far as the file goes.
func (v *volume) Read(inode uint64, buf []byte, off int64) (int, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, errno := v.find(inode)
	if errno != 0 {
		return 0, errno
	}
	buf = buf[:max(0, min(int64(len(buf)), n.size-off))]
	got := 0
	if off < int64(len(n.data)) {
		got = copy(buf, n.data[off:])
	}
	clear(buf[got:])
	return len(buf), 0
}

// Images are the files as they are on the disk.
func (v *volume) Images() map[string]powercut.Image {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string]powercut.Image{}
	for _, n := range v.nodes {
		if n.name != "" && n.mode&syscall.S_IFMT == syscall.S_IFREG {
			data, size := n.file.Content()
			out[n.name] = powercut.Image{Data: data, Size: size}
		}
	}
	return out
}
