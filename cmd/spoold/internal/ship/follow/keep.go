package follow

import (
	"fmt"
	"os"
	"path/filepath"
)

// tooLong takes a piece of a line that is too long.
func (w *Follower) tooLong(f *file, offset int64, piece []byte, end bool) error {
	switch w.o.TooLong {
	case Skip:
	case DeadLetter:
		if f.keep == nil {
			k, err := NewKeeper(w.o.KeepDir, fmt.Sprintf("%016x-%d", f.pos.ID, offset))
			if err != nil {
				return err
			}
			f.keep = k
		}
		if err := f.keep.Write(piece); err != nil {
			return err
		}
	default:
		return &TooLongError{f.name.Path, offset, w.o.Format.Max}
	}
	if f.longFrom == nil {
		f.longFrom = &offset
	}
	if !end {
		return nil
	}
	begin := *f.longFrom
	f.longFrom = nil
	detail := "the line is left out"
	if f.keep != nil {
		if err := f.keep.Finish(); err != nil {
			return err
		}
		detail = "the line is kept in " + f.keep.path
		if f.keep.cut > 0 {
			detail += fmt.Sprintf(", without its last %d bytes", f.keep.cut)
		}
		f.keep = nil
	}
	w.stats.tooLong.Add(1)
	w.o.Report(Event{Kind: TooLong, Path: f.name.Path, Offset: begin, Bytes: offset + int64(len(piece)) - begin, Detail: detail})
	return nil
}

// Keeper writes a record that is too long to a file of its own. A name that is made of the record's position lets the same record
// replace it after a crash.
type Keeper struct {
	path string
	h    *os.File
	size int64
	cut  int64 // bytes that were not kept
}

// NewKeeper begins a file in dir, which is bounded.
func NewKeeper(dir, name string) (*Keeper, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep a line that is too long: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("keep a line that is too long: %w", err)
	}
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	if total+maxKeep > maxKept {
		return nil, fmt.Errorf("keep a line that is too long: %s holds %d MiB already: look at these lines and remove them", dir, total>>20)
	}
	temp := filepath.Join(dir, name+".tmp")
	_ = os.Remove(temp) // an end in the middle left it; a symbolic link must not be followed
	h, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep a line that is too long: %w", err)
	}
	return &Keeper{path: filepath.Join(dir, name), h: h}, nil
}

// Write adds a piece of the record. Beyond a bound it is only counted.
func (k *Keeper) Write(piece []byte) error {
	if room := maxKeep - k.size; int64(len(piece)) > room {
		k.cut += int64(len(piece)) - room
		piece = piece[:room]
	}
	n, err := k.h.Write(piece)
	k.size += int64(n)
	if err != nil {
		return fmt.Errorf("keep a line that is too long: %w", err)
	}
	return nil
}

// Finish makes the file durable: the position behind the line is committed after that.
func (k *Keeper) Finish() error {
	err := k.h.Sync()
	if closed := k.h.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(k.h.Name(), k.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(k.path))
	}
	if err != nil {
		return fmt.Errorf("keep a line that is too long: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// abandon forgets a line of which the end was not read.
func (k *Keeper) abandon() {
	if k != nil {
		_ = k.h.Close()
		_ = os.Remove(k.h.Name())
	}
}
