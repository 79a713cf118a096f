package support

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/spoold/spoold/cmd/spoold/internal/newfile"
)

// Item is one file of the archive.
type Item struct {
	Name string
	Says string // one line about it, for the list of contents
	// Text gives nil for what there is none of: then no file is made.
	Text func(ctx context.Context) ([]byte, error)
}

// Limits of what is collected.
const (
	itemTime  = 20 * time.Second
	itemBytes = 8 << 20
)

// Write makes the archive at file. failed names what could not be collected, with the reason.
func Write(ctx context.Context, file string, items []Item, s *Scrubber) (failed []string, err error) {
	err = newfile.Write(file, func(out io.Writer) error {
		z := gzip.NewWriter(out)
		var err error
		failed, err = writeItems(ctx, tar.NewWriter(z), items, s)
		return errors.Join(err, z.Close())
	})
	return failed, err
}

func writeItems(ctx context.Context, w *tar.Writer, items []Item, s *Scrubber) (failed []string, err error) {
	now := time.Now()
	add := func(name string, text []byte) error {
		err := w.WriteHeader(&tar.Header{Name: path.Join("spoold-support", name), Mode: 0o600, Size: int64(len(text)), ModTime: now, Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}
	contents := "What is in this archive. There are no records, no keys and no headers in it, and no secrets of the configuration.\nNames of hosts, topics, files and users are.\n\n"
	for _, item := range items {
		text, err := collect(ctx, &item)
		if err != nil {
			why := string(s.Clean([]byte(err.Error())))
			failed = append(failed, item.Name+": "+why)
			contents += fmt.Sprintf("%-16s %s: NOT COLLECTED: %s\n", item.Name, item.Says, why)
		} else if len(text) == 0 {
			contents += fmt.Sprintf("%-16s %s: there is none\n", item.Name, item.Says)
		} else {
			contents += fmt.Sprintf("%-16s %s\n", item.Name, item.Says)
		}
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		if len(text) == 0 {
			continue
		}
		if err := add(item.Name, s.Clean(text)); err != nil {
			return failed, err
		}
	}
	return failed, errors.Join(add("CONTENTS.txt", []byte(contents)), w.Close())
}

// collect is bounded in time, also where what it asks does not look at the context.
func collect(ctx context.Context, item *Item) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, itemTime)
	defer cancel()
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := item.Text(ctx)
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		text, err = r.text, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer in %v", itemTime)
	}
	if len(text) > itemBytes {
		text = append(text[:itemBytes:itemBytes], "\n[cut off here]\n"...)
	}
	return text, err
}
