package spoold_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func smallUnits(cfg *spoold.Config) {
	cfg.UnitMemory, cfg.MaxRequestSize, cfg.SpoolCommitMax, cfg.SpoolSegmentBytes = 1<<20, 64<<10, 64<<10, 1<<20
}

// large begins a transaction of n records of 4 KB each for two topics, far more than fits into one commit.
func large(t *testing.T, p *spoold.Producer, n int) *spoold.Transaction {
	t.Helper()
	tx, err := p.Begin(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := spoold.Record{Topic: []string{"a", "b"}[i%2], Value: append(bytes.Repeat([]byte("x"), 4<<10), fmt.Sprint(i)...)}
		if err := tx.Send(patient(t), r); err != nil {
			t.Fatal(err)
		}
	}
	return tx
}

func TestALargeTransactionIsSeenWholeAfterCommitOnly(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
	dir := t.TempDir()
	p := c.open(t, dir, transactional("t1"), smallUnits)
	committed(t, p, unit(t, p, "before", "a"))
	abandoned := large(t, p, 100)
	tx := large(t, p, 500)
	committed(t, p, unit(t, p, "between", "a", "b"))
	if st := p.Status(); st.Accepted != 3 {
		t.Errorf("%d records are accepted before Commit, want 3", st.Accepted)
	}
	commitment, err := tx.Commit(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(patient(t)); !errors.Is(err, spoold.ErrTransactionOver) {
		t.Errorf("Commit twice: %v", err)
	}
	committed(t, p, unit(t, p, "after", "b"))
	committed(t, p, commitment)
	until(t, p, "all is settled", func(st *spoold.Status) bool { return st.Pending == 0 && st.Acked == 504 })
	closeNow(t, p)
	if err := abandoned.Send(patient(t), spoold.Record{Topic: "a"}); err == nil {
		t.Error("a transaction goes on after Close")
	}
	p = c.open(t, dir, transactional("t1"), smallUnits)
	committed(t, p, unit(t, p, "end", "a", "b"))
	for k, topic := range []string{"a", "b"} {
		got := c.readCommitted(t, []int{253, 253}[k], topic)
		next := k
		for _, r := range got {
			if len(r.Value) < 100 {
				continue
			}
			if want := fmt.Sprint(next); string(r.Value[4<<10:]) != want {
				t.Fatalf("%s: %s where %s was to be", topic, r.Value[4<<10:], want)
			}
			next += 2
		}
		if next != 500+k {
			t.Errorf("%s: the transaction ends at %d", topic, next)
		}
	}
}

func TestANoteCommitsWithItsTransactionOrNotAtAll(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
	dir := t.TempDir()
	p := c.open(t, dir, transactional("t1"), smallUnits)
	for _, n := range []int{0, 2, 40} { // nothing else, in memory, on the disk
		tx := large(t, p, n)
		if err := tx.SetNote(spoold.Note{Name: "at", Value: []byte("no")}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Abort(patient(t)); err != nil {
			t.Fatal(err)
		}
		before := string(p.Notes("at")["at"])
		tx = large(t, p, n)
		for _, v := range []string{"early", fmt.Sprint(n)} {
			if err := tx.SetNote(spoold.Note{Name: "at", Value: []byte(v)}); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(p.Notes("at")["at"]); got != before {
			t.Errorf("before Commit the note is %q, want %q", got, before)
		}
		if _, err := tx.Commit(patient(t)); err != nil {
			t.Fatal(err)
		}
		if got := string(p.Notes("at")["at"]); got != fmt.Sprint(n) {
			t.Errorf("after Commit of %d records the note is %q", n, got)
		}
		if err := tx.SetNote(spoold.Note{Name: "at"}); !errors.Is(err, spoold.ErrTransactionOver) {
			t.Errorf("after Commit: %v", err)
		}
	}
}

// Transactions that went to the disk keep the first record of each topic in memory, above unit.memory.bytes where that is full. Records of
// others go to the disk then, too.
func TestOpenTransactionsTakeRecordsWhenTheirMemoryIsFull(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
	p := c.open(t, t.TempDir(), transactional("t1"), smallUnits)
	var open []*spoold.Transaction
	for range 40 {
		open = append(open, large(t, p, 12))
	}
	for _, tx := range open {
		commitment, err := tx.Commit(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		committed(t, p, commitment)
	}
}
