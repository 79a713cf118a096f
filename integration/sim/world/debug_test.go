package world

import (
	"os"
	"strconv"
	"testing"

	"github.com/spoold/spoold/integration/sim/check"
)

func TestDebug(t *testing.T) {
	if os.Getenv("DBG") == "" {
		return
	}
	seed, _ := strconv.ParseUint(os.Getenv("DBG"), 10, 64)
	rec, _ := strconv.Atoi(os.Getenv("REC"))
	debugHook = func(w *World) {
		op := w.hist.Records[rec].Op
		for _, c := range w.clients {
			_ = c
		}
		t.Logf("record %.40s op %d %+v", w.hist.Records[rec].Value, op, w.hist.Ops[op])
		for _, e := range w.hist.Events {
			if e.Record == rec && (e.Kind == check.Durable || e.Kind == check.Undone || e.Kind == check.Left || e.Kind == check.Back || e.Kind == check.Acked) || e.Kind == check.Answered && e.Op == op {
				t.Logf("%d kind %d host %d index %d outcome %d result %d part %d off %d ts %d", e.At, e.Kind, e.Host, e.Index, e.Outcome, e.Result, e.Partition, e.Offset, e.Timestamp)
			}
		}
	}
	Run(Draw(seed))
}
