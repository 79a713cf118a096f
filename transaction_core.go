package spoold

import (
	"errors"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/sender/transaction"
	"github.com/spoold/spoold/spool"
)

// newCore makes what decides on delivery: in transactions or not, as the configuration says. What is in
// doubt under the other way, or under another transactional id, is resolved first, under that.
func newCore(id string, common sender.Config, timeoutMs int64, rec *spool.Recovered) loop.Core {
	if id != "" && !inDoubt(rec) {
		return transaction.New(transactionConfig(common, id, timeoutMs, false), rec)
	}
	if t := &rec.Transaction; id == "" && (t.Decision.Open() || len(t.Parked)+len(t.Unconfirmed) > 0 || t.ID != "" && t.Fenced == "") {
		return transaction.New(transactionConfig(common, rec.Transaction.ID, timeoutMs, true), rec)
	}
	common.FinishOnly = id != ""
	return sender.New(common, rec)
}

// What one Kafka transaction carries at most, unless it is one unit.
const (
	maxTransactionBytes   = 64 << 20
	maxTransactionRecords = 200_000
)

func transactionConfig(common sender.Config, id string, timeoutMs int64, finish bool) transaction.Config {
	return transaction.Config{
		Config: common, ID: id, TimeoutMs: timeoutMs, MaxBytes: maxTransactionBytes, MaxRecords: maxTransactionRecords, Finish: finish,
	}
}

// inDoubt reports whether batches were sent without a transaction whose fate is not known.
func inDoubt(rec *spool.Recovered) bool {
	for i := range rec.Partitions {
		if rec.Partitions[i].Park.Parked() {
			return true
		}
	}
	return len(rec.Seals) > 0
}

func reopenWhy(err error) string {
	if errors.Is(err, sender.ErrFinished) {
		return "what was in doubt under the former transactional.id, or without one, is resolved: going on under the present one"
	}
	if as[*CorruptError](err) {
		return "a segment of the spool is damaged, opening the spool again to set it aside"
	}
	return "disk was full in a commit, opening the spool again"
}
