package bolt

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spoold/spoold/spool"
)

// LaneStats are one topic's numbers, as of the last commit: what Stats says of the whole
// spool is their sum.
type LaneStats struct {
	Topic    string
	Low      spool.Index // entries below it have left, on disk
	Counters spool.Counters
	Dead     int // dead letters that are held now
}

// laneStats are the newest numbers of all lanes, beside the Stats of the same commit.
type laneStats struct {
	mu    sync.Mutex
	list  []LaneStats // by LaneID
	stats *Stats
}

// Lanes are the spool's numbers and those of each lane, by LaneID, from the same commit.
// Safe from any goroutine.
func (s *Store) Lanes() (Stats, []LaneStats) {
	s.lanesNow.mu.Lock()
	st, list := *s.lanesNow.stats, slices.Clone(s.lanesNow.list)
	s.lanesNow.mu.Unlock()
	s.space.present(&st)
	return st, list
}

// publishLanes is called by the committer after a commit that changed the lanes touched.
func (s *committer) publishLanes(st *Stats, touched []spool.LaneID) {
	s.lanesNow.mu.Lock()
	defer s.lanesNow.mu.Unlock()
	for i := len(s.lanesNow.list); i < s.state.Lanes(); i++ {
		s.lanesNow.list = append(s.lanesNow.list, laneStatsOf(s.state, spool.LaneID(i)))
	}
	for _, id := range touched {
		s.lanesNow.list[id] = laneStatsOf(s.state, id)
	}
	s.lanesNow.stats = st
}

func laneStatsOf(st *spool.State, id spool.LaneID) LaneStats {
	return LaneStats{Topic: st.Topic(id), Low: st.Settled(id).Low(), Counters: st.LaneCounters(id), Dead: st.LaneDeadLetters(id)}
}

// LaneBytes says, by topic, how many bytes on disk hold a lane's pending records, about: what
// left in the middle of a section still counts, and of segments that are not active any
// more, each pending record counts the same. It looks at all of them.
func (s *Store) LaneBytes() map[string]int64 {
	s.view.RLock()
	defer s.view.RUnlock()
	list := make([]int64, s.state.Lanes())
	for id, l := range s.active.index.lanes {
		list[id] += l.bytes
	}
	for _, x := range s.sealed {
		x.addBytes(list)
	}
	out := make(map[string]int64, len(list))
	for id, n := range list {
		out[s.state.Topic(spool.LaneID(id))] = n
	}
	return out
}

func (x *sealed) addBytes(out []int64) {
	entries := 0
	for _, e := range x.info.Extents {
		entries += e.Len()
	}
	for _, e := range x.info.Extents {
		n := e.Len() - x.state.Settled(e.Lane).CountIn(e.Span)
		out[e.Lane] += int64(float64(x.info.Bytes) * float64(n) / float64(entries))
	}
}

// LaneUse is what a lane's pending records take.
type LaneUse struct {
	Bytes  int64
	Oldest int64         // timestamp of the first of them, ms; only if there are any
	Waited time.Duration // for how long that has waited, see spool.Waited
}

// Use says what the pending records of each lane take, by LaneID. It reads the structure
// of every segment.
func (in *Inspection) Use() ([]LaneUse, error) {
	o := (&Options{}).withDefaults()
	st, now := in.found.state, newClock(&o, in.found.head).now()
	out := make([]LaneUse, st.Lanes())
	first := make([]spool.Index, st.Lanes())
	for i := range first {
		first[i] = st.Settled(spool.LaneID(i)).NextAbsent(0)
	}
	for _, n := range in.numbers() {
		im, err := in.read(n, imageParts{})
		if err != nil {
			return nil, err
		}
		if err := in.useOf(im, n, first, out); err != nil {
			return nil, err
		}
	}
	for i := range out {
		id := spool.LaneID(i)
		aged := func(before int64) spool.Index { return st.Aged(id, before) }
		out[i].Waited = time.Duration(spool.Waited(now, first[i], aged, out[i].Oldest)) * time.Millisecond
	}
	return out, nil
}

func (in *Inspection) useOf(im *image, number uint64, first []spool.Index, out []LaneUse) error {
	listed := in.listed(number)
	f, err := os.Open(segmentFile(in.dir, number))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for id, l := range im.index(unitRunsOf(in.found.state)).lanes {
		settled := in.found.state.Settled(id)
		for i := range l.refs {
			r := &l.refs[i]
			if settled.CountIn(r.span) == r.span.Len() {
				continue
			}
			if listed(id, r.span.End-1) { // what is carried goes from the first entry on
				out[id].Bytes += int64(r.len)
			}
			if first[id] < r.span.First || first[id] >= r.span.End {
				continue
			}
			err := r.entries(f, settled, listed, EntryInfo{Lane: id, Segment: number, Block: r.block.number}, func(e EntryInfo) bool {
				x, _, err := spool.NextEntry(e.Raw)
				if err == nil && e.Index == first[id] {
					out[id].Oldest = x.Timestamp
				}
				return false
			})
			if err != nil && !errors.Is(err, errStop) {
				return err
			}
		}
	}
	return nil
}
