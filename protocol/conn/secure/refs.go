package secure

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// maxFile bounds what is read of one file. A certificate store of every authority there is has 300 KB.
const maxFile = 16 << 20

// files reads files and remembers their states. It may be used by several goroutines.
type files struct {
	mu   sync.Mutex
	seen []string
}

// byteOrderMark is what editors of Windows put in front of a text. No certificate store begins so.
var byteOrderMark = []byte("\uFEFF")

// read returns a file's content, without a byte order mark.
func (f *files) read(path string) ([]byte, error) {
	f.note(path)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d MiB", path, maxFile>>20)
	}
	return bytes.TrimPrefix(text, byteOrderMark), err
}

// note has a file, or a folder, be one of those that stamp looks at.
func (f *files) note(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.seen, path) {
		f.seen = append(f.seen, path)
	}
}

// stamp is a number that changes when one of the files changes that were read so far.
func (f *files) stamp() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := fnv.New64a()
	for _, path := range f.seen {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(h, "%s missing\n", path)
			continue
		}
		var inode uint64 // a file that was put in place of another one
		if sys, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = sys.Ino
		}
		fmt.Fprintf(h, "%s %d %d %d\n", path, info.Size(), info.ModTime().UnixNano(), inode)
	}
	return h.Sum64()
}

// Expand replaces the references ${env:NAME} and ${file:PATH} in a text by what they refer to now.
func Expand(text string) (string, error) { return new(files).expand(text) }

// expand replaces the references ${env:NAME} and ${file:PATH} in a text. A file's last line end is left out.
func (f *files) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		reference, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("a reference that begins with ${ has no }; a value that holds ${ itself stands in a file: ${file:PATH}")
		}
		value, err := f.follow(reference)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = after
	}
}

func (f *files) follow(reference string) (string, error) {
	kind, name, _ := strings.Cut(reference, ":")
	switch {
	case kind == "env" && name != "":
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return value, nil
	case kind == "file" && name != "":
		text, err := f.read(name)
		if _, key, ofKafka := strings.Cut(name, ":"); ofKafka && errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w; Kafka's ${file:PATH:KEY} is not read: have the value of %s alone in a file, and give ${file:PATH}", err, key)
		}
		if err != nil {
			return "", err
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
	}
	if kind == "directory" && name != "" {
		dir, key, _ := strings.Cut(name, ":")
		return "", fmt.Errorf("${directory:PATH:KEY} of Kafka is not read: give ${file:%s}", filepath.Join(dir, key))
	}
	return "", fmt.Errorf("${…} refers to nothing that is known: write ${env:NAME} or ${file:PATH}; a value that holds ${ itself stands in such a file")
}
