package lossy

import (
	"bytes"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// valid is how long the kernel may rely on names and attributes. Nothing changes behind its back, and
// after a power cut it is asked anew.
const valid = time.Hour

const (
	blockSize = 4096
	blocks    = 64 << 30 / blockSize // of the whole disk
)

// filesystem answers the kernel for a volume.
type filesystem struct {
	fuse.RawFileSystem // what is not here is not supported
	v                  *volume
}

// mount puts a volume at dir.
func mount(v *volume, dir string) (*fuse.Server, error) {
	fs := &filesystem{fuse.NewDefaultRawFileSystem(), v}
	server, err := fuse.NewServer(fs, dir, &fuse.MountOptions{
		DirectMountStrict:        true,
		FsName:                   "lossy",
		Name:                     "lossy",
		MaxWrite:                 1 << 20,
		DisableXAttrs:            true,
		DisableReadDirPlus:       true,
		ExplicitDataCacheControl: true, // the page cache is dropped when a process says so, and not before
	})
	if err != nil {
		return nil, err
	}
	go server.Serve()
	return server, server.WaitMount()
}

func (fs *filesystem) String() string { return "lossy" }

func (n *node) attr(out *fuse.Attr) {
	*out = fuse.Attr{Ino: n.inode(), Mode: n.mode, Size: uint64(n.size), Nlink: 1,
		Blksize: blockSize, Blocks: uint64(n.size+511) / 512}
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId = n.inode()
	out.SetEntryTimeout(valid)
	out.SetAttrTimeout(valid)
	n.attr(&out.Attr)
}

func (fs *filesystem) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, errno := fs.v.Find(name)
	if errno == 0 {
		n.entry(out)
	}
	return fuse.Status(errno)
}

func (fs *filesystem) Forget(inode, _ uint64) { fs.v.Forget(inode) }

func (fs *filesystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.SetTimeout(valid)
	if in.NodeId == rootInode {
		out.Attr = fuse.Attr{Ino: rootInode, Mode: syscall.S_IFDIR | 0o700, Nlink: 2, Blksize: blockSize}
		return fuse.OK
	}
	n, errno := fs.v.Stat(in.NodeId)
	if errno == 0 {
		n.attr(&out.Attr)
	}
	return fuse.Status(errno)
}

func (fs *filesystem) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if size, ok := in.GetSize(); ok {
		if errno := fs.v.Truncate(in.NodeId, int64(size)); errno != 0 {
			return fuse.Status(errno)
		}
	}
	if mode, ok := in.GetMode(); ok && in.NodeId != rootInode {
		if errno := fs.v.Chmod(in.NodeId, mode); errno != 0 {
			return fuse.Status(errno)
		}
	}
	return fs.GetAttr(cancel, &fuse.GetAttrIn{InHeader: in.InHeader}, out)
}

func (fs *filesystem) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if kind := in.Mode & syscall.S_IFMT; kind != syscall.S_IFSOCK && kind != syscall.S_IFREG {
		return fuse.EPERM
	}
	n, errno := fs.v.Create(name, in.Mode)
	if errno == 0 {
		n.entry(out)
	}
	return fuse.Status(errno)
}

func (fs *filesystem) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	n, errno := fs.v.Create(name, syscall.S_IFREG|in.Mode&^syscall.S_IFMT)
	if errno == 0 {
		n.entry(&out.EntryOut)
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	}
	return fuse.Status(errno)
}

func (fs *filesystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	_, errno := fs.v.Stat(in.NodeId)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.Status(errno)
}

func (fs *filesystem) Unlink(_ <-chan struct{}, _ *fuse.InHeader, name string) fuse.Status {
	return fuse.Status(fs.v.Unlink(name))
}

func (fs *filesystem) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if in.Flags != 0 {
		return fuse.EINVAL
	}
	return fuse.Status(fs.v.Rename(from, to))
}

func (fs *filesystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, errno := fs.v.Read(in.NodeId, buf, int64(in.Offset))
	return fuse.ReadResultData(buf[:n]), fuse.Status(errno)
}

// Write copies data: the kernel's buffer is used again.
func (fs *filesystem) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if errno := fs.v.Write(in.NodeId, int64(in.Offset), bytes.Clone(data)); errno != 0 {
		return 0, fuse.Status(errno)
	}
	return uint32(len(data)), fuse.OK
}

func (fs *filesystem) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fuse.Status(fs.v.Sync(in.NodeId))
}

func (fs *filesystem) FsyncDir(_ <-chan struct{}, _ *fuse.FsyncIn) fuse.Status {
	return fuse.Status(fs.v.SyncDir())
}

func (fs *filesystem) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if in.Mode != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return fuse.Status(fs.v.Allocate(in.NodeId, int64(in.Offset+in.Length)))
}

func (fs *filesystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	names, errno := fs.v.Names()
	if errno != 0 {
		return fuse.Status(errno)
	}
	for i, name := range names {
		if uint64(i) < in.Offset {
			continue
		}
		n, errno := fs.v.Find(name)
		if errno == syscall.ENOENT {
			continue // gone meanwhile
		}
		if errno != 0 {
			return fuse.Status(errno)
		}
		if !out.AddDirEntry(fuse.DirEntry{Name: name, Ino: n.inode(), Mode: n.mode, Off: uint64(i + 1)}) {
			break
		}
	}
	return fuse.OK
}

func (fs *filesystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	used, errno := fs.v.Used()
	free := uint64(blocks - used/blockSize)
	*out = fuse.StatfsOut{Blocks: blocks, Bfree: free, Bavail: free, Bsize: blockSize, Frsize: blockSize, NameLen: 255}
	return fuse.Status(errno)
}
