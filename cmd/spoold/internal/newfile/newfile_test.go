package newfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func TestAFileIsMadeWholeAndReplacesNone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	if err := Write(file, text("first")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 || info.Size() != 5 {
		t.Errorf("%v, %v", info, err)
	}
	began := false
	if err := Write(file, func(io.Writer) error { began = true; return nil }); !errors.Is(err, ErrTaken) || began {
		t.Errorf("a file that is there: %v, began %v", err, began)
	}
	meanwhile := filepath.Join(dir, "meanwhile")
	if err := Write(meanwhile, func(io.Writer) error { return os.WriteFile(meanwhile, []byte("other"), 0o600) }); !errors.Is(err, ErrTaken) {
		t.Errorf("a file that comes meanwhile: %v", err)
	}
	if got, err := os.ReadFile(meanwhile); string(got) != "other" || err != nil {
		t.Errorf("it holds %q, %v", got, err)
	}
	bad := errors.New("bad")
	if err := Write(filepath.Join(dir, "failed"), func(io.Writer) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("what fails: %v", err)
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("these are left: %q", got)
	}
	if err := Write(filepath.Join(dir, "none", "out"), text("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such directory: %v", err)
	}
}
