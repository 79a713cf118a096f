//go:build crash

package inject

import (
	"bytes"
	"context"
	"fmt"

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
	reading, offset := c.Ledger.Read(), int64(0)
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
				reading.Record(0, offset, bytes.Clone(rec.Key), bytes.Clone(rec.Value))
				offset++
			}
		}
		buf, at = b, next
	}
	if v := reading.Verdict(); !v.OK() {
		return fmt.Errorf("in the spool: %v", v)
	}
	return nil
}
