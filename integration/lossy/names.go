package lossy

import (
	"syscall"

	"github.com/spoold/spoold/integration/powercut"
)

// Find is a file by its name.
func (v *volume) Find(name string) (node, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return node{}, syscall.EIO
	}
	if f := v.disk.Find(name); f != nil {
		return *v.nodes[uint64(f.Number)+rootInode], 0
	}
	return node{}, syscall.ENOENT
}

// Stat is a file by its inode number.
func (v *volume) Stat(inode uint64) (node, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, errno := v.find(inode)
	if errno != 0 {
		return node{}, errno
	}
	return *n, 0
}

// Chmod gives a file other permissions.
func (v *volume) Chmod(inode uint64, mode uint32) syscall.Errno {
	return v.with(inode, func(n *node) syscall.Errno {
		n.mode = n.mode&syscall.S_IFMT | mode&^syscall.S_IFMT
		v.modes[n.file.Number] = n.mode
		return 0
	})
}

// Create makes a file, or a socket, which must not be there.
func (v *volume) Create(name string, mode uint32) (made node, errno syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return node{}, syscall.EIO
	}
	if v.disk.Find(name) != nil {
		return node{}, syscall.EEXIST
	}
	errno = v.do(Create, name, func(at powercut.When) {
		n := &node{file: v.disk.Create(name, at), name: name, mode: mode}
		v.nodes[n.inode()], v.modes[n.file.Number] = n, mode
		made = *n
	})
	return made, errno
}

// Rename gives a file another name.
func (v *volume) Rename(from, to string) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return syscall.EIO
	}
	f := v.disk.Find(from)
	if f == nil {
		return syscall.ENOENT
	}
	if from == to {
		return 0
	}
	return v.do(Rename, from, func(at powercut.When) {
		if old := v.disk.Find(to); old != nil {
			v.nodes[uint64(old.Number)+rootInode].name = ""
		}
		v.disk.Rename(from, to, at)
		v.nodes[uint64(f.Number)+rootInode].name = to
	})
}

// Unlink takes a file's name away. Who has it open goes on with it.
func (v *volume) Unlink(name string) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return syscall.EIO
	}
	f := v.disk.Find(name)
	if f == nil {
		return syscall.ENOENT
	}
	return v.do(Unlink, name, func(at powercut.When) {
		v.disk.Unlink(name, at)
		v.nodes[uint64(f.Number)+rootInode].name = ""
	})
}

// Forget says that nobody has the file open any more.
func (v *volume) Forget(inode uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := v.nodes[inode]; n != nil && n.name == "" {
		delete(v.nodes, inode)
	}
}

// Names are those of all files, sorted.
func (v *volume) Names() ([]string, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return nil, syscall.EIO
	}
	return v.disk.Names(), 0
}

// Used is how many bytes the files take.
func (v *volume) Used() (used int64, errno syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lightOn() {
		return 0, syscall.EIO
	}
	for _, n := range v.nodes {
		used += n.size
	}
	return used, 0
}
