package ship

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Writer appends numbered lines to one log, and rotates it. Not safe for concurrent use.
type Writer struct {
	dir, name string
	rng       *rand.Rand
	file      *os.File
	next      int
	short     bool   // lines are short, so that one read of the file makes several batches
	half      string // what was written of a line that is not finished
	Renames   int
	Copies    int
	Gzips     int
}

// NewWriter writes the log dir/name.
func NewWriter(dir, name string, seed uint64) *Writer {
	return &Writer{dir: dir, name: name, rng: rand.New(rand.NewPCG(seed, uint64(len(name))))}
}

// Lines is how many whole lines were written. Line n of them is Line(n).
func (w *Writer) Lines() int { return w.next }

// Line is line n of the log.
func (w *Writer) Line(n int) string {
	if w.short {
		return fmt.Sprintf("%s %d", w.name, n)
	}
	return fmt.Sprintf("%s %d %s", w.name, n, strings.Repeat("abcdefghij", n%20))
}

func (w *Writer) path(suffix string) string { return filepath.Join(w.dir, w.name+suffix) }

// Step appends some lines, in writes that end anywhere, or rotates the log.
func (w *Writer) Step() error {
	switch w.rng.IntN(40) {
	case 0, 1:
		return w.rename()
	case 2:
		return w.copyTruncate()
	}
	return w.append(1 + w.rng.IntN(200))
}

func (w *Writer) append(n int) error {
	if w.file == nil {
		f, err := os.OpenFile(w.path(""), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		w.file = f
	}
	var text strings.Builder
	for range n {
		text.WriteString(strings.TrimPrefix(w.Line(w.next), w.half) + "\n")
		w.half = ""
		w.next++
	}
	if w.rng.IntN(3) == 0 {
		line := w.Line(w.next)
		w.half = line[:w.rng.IntN(len(line))]
		text.WriteString(w.half)
	}
	_, err := io.WriteString(w.file, text.String())
	return err
}

// Finish ends the line that is not finished.
func (w *Writer) Finish() error {
	if w.half == "" {
		return nil
	}
	if err := w.append(1); err != nil || w.half == "" {
		return err
	}
	return w.Finish()
}

// rename gives the log another name and begins a new one. Every second time an older one is compressed.
func (w *Writer) rename() error {
	if w.file == nil {
		return nil
	}
	if err := errors.Join(w.Finish(), w.file.Close(), w.shift()); err != nil {
		return err
	}
	w.file = nil
	w.Renames++
	return os.Rename(w.path(""), w.path(".1"))
}

// copyTruncate copies the log and truncates it.
func (w *Writer) copyTruncate() error {
	if w.file == nil {
		return nil
	}
	if err := errors.Join(w.Finish(), w.shift()); err != nil {
		return err
	}
	w.Copies++
	if err := pour(w.path(""), w.path(".1"), func(out io.Writer) io.WriteCloser { return nopCloser{out} }); err != nil {
		return err
	}
	return os.Truncate(w.path(""), 0)
}

// shift moves the rotated files on by one. None is removed: on a slow machine it might not have been read yet.
func (w *Writer) shift() error {
	for n := w.Renames + w.Copies; n >= 1; n-- {
		for _, ext := range []string{"", ".gz"} {
			err := os.Rename(w.path(fmt.Sprintf(".%d%s", n, ext)), w.path(fmt.Sprintf(".%d%s", n+1, ext)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if w.rng.IntN(2) == 0 {
		return nil
	}
	old := w.path(".2")
	err := pour(old, old+".gz", func(out io.Writer) io.WriteCloser { return gzip.NewWriter(out) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	w.Gzips++
	return errors.Join(err, os.Remove(old))
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// pour copies a file, through what through makes.
func pour(from, to string, through func(io.Writer) io.WriteCloser) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	z := through(out)
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close(), out.Close())
}
