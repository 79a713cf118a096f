//go:build crash

package inject

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// compare reads the spool and finds each record that was answered, once, and no other.
func compare(path string, c *Client) (err error) {
	s, r, err := bolt.Open(bolt.Options{Path: path, MinFreeBytes: -1})
	if err != nil {
		return err
	}
	go func() {
		for commit := range s.Commits() {
			commit.Release()
		}
	}()
	defer func() {
		if closed := s.Close(context.Background()); err == nil {
			err = closed
		}
	}()
	got := map[string]int{}
	var buf []byte
	for at := spool.Index(0); len(r.Lanes) > 0; {
		sections, next, b, err := s.Read(r.Lanes[0].ID, at, 1<<20, buf)
		if err != nil {
			return err
		}
		if len(sections) == 0 {
			break
		}
		for i := range sections {
			for rest := sections[i].Bytes; len(rest) > 0; {
				var e spool.Entry
				if e, rest, err = spool.NextEntry(rest); err != nil {
					return err
				}
				rec, err := e.Record()
				if err != nil {
					return err
				}
				got[string(bytes.Clone(rec.Value))]++
			}
		}
		buf, at = b, next
	}
	want := c.Want()
	if !maps.Equal(got, want) {
		return fmt.Errorf("%d records in the spool, not the %d that were answered%s", len(got), len(want), firstDifference(got, want))
	}
	return nil
}

func firstDifference(got, want map[string]int) string {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			return fmt.Sprintf("; %.40s is there %d times", k, got[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if got[k] != want[k] {
			return fmt.Sprintf("; %.40s is there %d times, not %d", k, got[k], want[k])
		}
	}
	return ""
}
