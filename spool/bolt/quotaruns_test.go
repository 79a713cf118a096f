package bolt

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// Each commit has a large record, which stays, and many small ones, which leave. Records of one commit do not count alike.
func TestAQuotaCountsTheLargeRecordsThatStay(t *testing.T) {
	l, _ := openLoop(t, quotaOptions(t.TempDir(), QuotaReject))
	defer l.close()
	refused := false
	for end := spool.Index(0); end < 20*20; end += 20 {
		b := &BatchInput{}
		for i := range 20 {
			r := RecordInput{Topic: "q", Timestamp: 1, Partition: -1, Value: kilobyte[:20]}
			if i == 7 {
				r.Value = make([]byte, 9000)
			}
			b.Records = append(b.Records, r)
		}
		if _, err := l.s.AppendBatch(context.Background(), b); err != nil {
			refused = true
			break
		}
		if err := l.s.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		l.settle("q", spool.Span{First: end, End: end + 7}, spool.Span{First: end + 8, End: end + 20})
	}
	if taken := checkTaken(t, l.s, "q"); !refused || taken > 64<<10 || taken < 54_000 {
		t.Errorf("%d bytes are pending of at most %d, refused: %v", taken, 64<<10, refused)
	}
}

// Records of any sizes come in commits of any length and leave in any order, segments are left and rewritten, and the spool is opened again.
func TestAQuotaCountsToTheByte(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	o := quotaOptions(t.TempDir(), QuotaReject)
	o.RewriteAfter = time.Millisecond
	l, _ := openLoop(t, o)
	end := spool.Index(0)
	for range 25 {
		b := &BatchInput{}
		for range 1 + rng.IntN(12) {
			b.Records = append(b.Records, RecordInput{Topic: "q", Timestamp: 1, Partition: -1, Value: make([]byte, rng.IntN(1<<rng.IntN(12)))})
		}
		if _, err := l.s.AppendBatch(context.Background(), b); err == nil {
			end += spool.Index(len(b.Records))
		}
		if err := l.s.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		for i := range end {
			if rng.IntN(8) == 0 && !l.s.settledNow("q", i) {
				l.settle("q", spool.Span{First: i, End: i + 1})
			}
		}
		checkTaken(t, l.s, "q")
		if rng.IntN(6) == 0 {
			l.close()
			l, _ = openLoop(t, o)
			checkTaken(t, l.s, "q")
		}
	}
	l.close()
}

func (s *Store) settledNow(topic string, i spool.Index) bool {
	s.mu.Lock()
	id := s.lanes[topic].id
	s.mu.Unlock()
	s.view.RLock()
	defer s.view.RUnlock()
	return s.state.Settled(id).Contains(i)
}

// With more runs than are kept, neighbours become one, whose entries are measured when some of them leave.
func TestRunsThatWereJoinedAreMeasuredWhenSomeLeave(t *testing.T) {
	var x quotaRuns
	const runs = maxRuns + 1
	var all int64
	for i := range runs {
		var section []byte
		for k := range 2 {
			size := 1 + (i+k)%100
			section = append(binary.AppendUvarint(section, uint64(size)), make([]byte, size)...)
		}
		all += int64(len(section))
		x.add(spool.Span{First: spool.Index(2 * i), End: spool.Index(2*i + 2)}, section)
	}
	if len(x.list) > maxRuns || x.bytes != all {
		t.Fatalf("%d runs hold %d bytes, want at most %d and %d", len(x.list), x.bytes, maxRuns, all)
	}
	var settled spool.Set
	settled.Add(spool.Span{First: 1, End: 2})
	measure := x.settle(&settled)
	if len(measure) != 1 || measure[0] != (spool.Span{First: 0, End: 4}) || x.bytes != all {
		t.Fatalf("to be measured: %v, with %d bytes of %d", measure, x.bytes, all)
	}
	x.measured(measure[0], []byte{2, 0, 3, 4}, 9)
	if measure = x.settle(&settled); len(measure) != 0 || x.bytes != all-3 {
		t.Errorf("to be measured again: %v; %d bytes of %d", measure, x.bytes, all)
	}
	settled.Add(spool.Span{First: 3, End: 4})
	if measure = x.settle(&settled); len(measure) != 0 || x.bytes != all-7 {
		t.Errorf("to be measured again: %v; %d bytes of %d", measure, x.bytes, all)
	}
}
