package newfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrTaken: there is a file, or something else, of that name.
var ErrTaken = errors.New("is there already")

// Write makes file of what write writes. If it fails, nothing is left. A kill may leave FILE.NUMBER.part.
func Write(file string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s %w", file, ErrTaken) // before the work, not only behind it
	}
	out, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.part")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(out.Name())) }()
	if err := errors.Join(write(out), out.Sync(), out.Close()); err != nil {
		return err
	}
	// A link, not a new name: it fails where the name is taken.
	if err := os.Link(out.Name(), file); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s %w", file, ErrTaken)
	} else if err != nil {
		return err
	}
	return nil
}
