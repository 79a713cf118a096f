package soak

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoold/spoold/integration/crash"
)

func TestTheBookKnowsWhatWasOnAndWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := NewBook(time.Now(), &out)
		time.Sleep(time.Second)
		end := b.Begin(LinkHangs)
		time.Sleep(2 * time.Second)
		b.Once(Kill)
		other := b.Begin(DiskFull)
		if got, want := b.On(), "disk-full+link-hangs"; got != want {
			t.Errorf("On() = %q, want %q", got, want)
		}
		end()
		end() // again changes nothing
		if got, want := b.On(), "disk-full"; got != want {
			t.Errorf("On() = %q, want %q", got, want)
		}
		other()
		want := "kind,from_s,to_s\nkill,3.000,3.000\nlink-hangs,1.000,3.000\ndisk-full,3.000,3.000\n"
		if out.String() != want {
			t.Errorf("trouble.csv is\n%swant\n%s", out.String(), want)
		}
		if n, s := b.Count(LinkHangs), b.Seconds(LinkHangs); n != 1 || s != 2 {
			t.Errorf("Count() = %d, Seconds() = %v, want 1 and 2", n, s)
		}
		if !strings.Contains(b.Table(), "1  SIGKILL of the daemon") {
			t.Errorf("Table() = %s", b.Table())
		}
	})
}

// The same seed gives the same order.
func TestADeckDealsEachCardOnceBeforeAnyIsDealtAgain(t *testing.T) {
	deal := func(seed uint64) []int {
		d := NewDeck(rand.New(rand.NewPCG(seed, 0)), 0, 1, 2, 3, 4, 5, 6, 7)
		var out []int
		for round := range 3 {
			var cards []int
			for ok := true; ok; ok = d.Rest() > 0 {
				cards = append(cards, d.Deal())
			}
			out = append(out, cards...)
			slices.Sort(cards)
			if fmt.Sprint(cards) != "[0 1 2 3 4 5 6 7]" {
				t.Errorf("round %d dealt %v", round, cards)
			}
		}
		return out
	}
	if one, two := deal(1), deal(1); !slices.Equal(one, two) {
		t.Errorf("the same seed dealt %v and %v", one, two)
	}
	if one, two := deal(1), deal(2); slices.Equal(one, two) {
		t.Errorf("two seeds dealt %v", one)
	}
}

// Whoever reads samples.csv goes by the names in its head.
func TestARowHasAFieldForEachColumnAndNoneForWhatNobodyTold(t *testing.T) {
	s := Sample{At: 1.5, Epoch: 2, Pid: 7, Status: &crash.Status{Pending: 9, Link: "up"}, Trouble: "rest"}
	row := s.row()
	want := map[string]string{"t_s": "1.50", "epoch": "2", "pending": "9", "link_up": "1", "anon_bytes": "", "trouble": "rest"}
	if len(row) != len(head()) {
		t.Fatalf("%d fields, %d columns", len(row), len(head()))
	}
	for i, name := range head() {
		if text, ok := want[name]; ok && row[i] != text {
			t.Errorf("%s = %q, want %q", name, row[i], text)
		}
	}
}

func TestALogThatIsFullBeginsAnewAndKeepsWhatWasBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := NewLog(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one\n", "two\n", "three\n", "four\n", "five\n"} {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "three\n", path: "four\nfive\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", filepath.Base(name), got, err, want)
		}
	}
}
