package sender_test

import (
	"testing"

	"github.com/spoold/spoold/sender"
)

// A connection that ends refuses what is given to it at once, before anybody can say that
// it is gone. A request that was never written is not made again in the same moment: a
// shell that answers at once would never come to read the news.
func TestABatchThatCouldNotBeWrittenIsNotSentAgainAtOnce(t *testing.T) {
	w, _ := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.refuse = func(r sender.Request) bool { return r.Kind == sender.KindProduce }
	w.records = append(w.records, rec{topic: "a", value: []byte("x"), ts: w.now.Wall})
	w.beginCommit()
	w.until(t, "the first try", func() bool { return w.refused > 0 })
	before := w.now.Age
	for range 200 {
		if w.now.Age != before {
			break
		}
		w.step()
	}
	if tries := w.refused; tries > 2 {
		t.Errorf("%d tries within a millisecond", tries)
	}
	w.refuse = nil
	w.delivered(t)
}
