package follow

import (
	"time"

	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// cuts is what is known of files that were truncated, written anew or removed.
type cuts struct {
	options *Options
	stats   *counters
	now     func() time.Time
	cut     map[uint64]cut       // by position
	cutFrom map[ship.FileID]bool // files whose bytes were cut off, and that were not opened anew yet

	// overwritten are, in the current scan, the positions whose file's number belongs to a file of the same log with other bytes:
	// it was cut off and renamed, or removed.
	overwritten map[uint64]bool
}

// cut is what is not there any more where a position was.
type cut struct {
	unread int64 // bytes behind the position that were seen
	seen   bool  // the file was followed when it was cut, so unread is known
	at     time.Time
}

// wasCut takes note that a file with positions holds other bytes now, under the name that it had.
func (k *cuts) wasCut(c *candidate, positions []*ship.Position) {
	for _, p := range positions {
		k.overwritten[p.ID] = k.overwritten[p.ID] || k.options.nameOf(p.Path).Base == c.name.Base
	}
	for _, p := range positions { // the newest first
		if p.Path == c.name.Path && !p.Ignored && !k.cutFrom[c.id] {
			if !p.Cut {
				k.noteCut(p, 0, false)
			}
			k.cutFrom[c.id] = true
			return
		}
	}
}

func (k *cuts) noteCut(p *ship.Position, unread int64, seen bool) {
	if _, ok := k.cut[p.ID]; !ok {
		k.cut[p.ID] = cut{unread, seen, k.now()}
	}
}

// adopted: the candidate takes over the position of a file that was cut off. What that file had and the candidate
// does not is lost.
func (k *cuts) adopted(c *candidate, p *ship.Position) {
	lost := k.cut[p.ID].unread - (c.size - p.Offset)
	delete(k.cut, p.ID)
	p.Cut = false
	if lost > 0 && !c.gzip {
		k.gap(p, lost, "the file was truncated after a copy of it was made: bytes that were written in between are lost to spoold")
	}
}

func (k *cuts) gap(p *ship.Position, bytes int64, detail string) {
	k.stats.gaps.Add(1)
	k.stats.gapBytes.Add(bytes)
	k.options.Report(Event{Kind: Gap, Path: p.Path, Offset: p.Offset, Bytes: bytes, Detail: detail})
}
