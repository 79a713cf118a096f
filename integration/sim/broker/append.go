package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
)

// defaultMaxBytes is message.max.bytes.
const defaultMaxBytes = 1048588

// appended is what came of an append to a leader.
type appended struct {
	code    protocol.ErrorCode
	base    int64 // offset of the first record
	end     int64 // one above the last: what the high watermark must reach
	stamp   int64 // log append time; of a duplicate, its largest timestamp
	start   int64 // log start offset, as the answer has it
	message string
	bad     []badRecord
}

type badRecord struct {
	index   int32
	message string
}

func refuse(code protocol.ErrorCode, start int64) appended {
	return appended{code: code, base: -1, stamp: -1, start: start}
}

// untold is the log start offset in an answer to what a broker takes for usual trouble: it is not looked up then
// (ReplicaManager.appendToLocalLog).
const untold = -1

// split takes the one batch of a partition's records (ProduceRequest.validateRecords). Half a batch behind it is
// overlooked, as by a broker (ByteBufferLogInputStream).
func split(records []byte) (raw.Batch, protocol.ErrorCode) {
	b, rest, code := nextBatch(records)
	switch {
	case code != protocol.None:
		return nil, code
	case b == nil || b.Magic() != 2:
		return nil, protocol.InvalidRecord
	case len(b) < raw.HeaderSize:
		return nil, protocol.CorruptMessage
	}
	if more, _, code := nextBatch(rest); code != protocol.None {
		return nil, code
	} else if more != nil {
		return nil, protocol.InvalidRecord
	}
	return b, protocol.None
}

// nextBatch takes a batch off, whole or not at all; a length or a magic that cannot be is an error
// (ByteBufferLogInputStream.nextBatch).
func nextBatch(records []byte) (b raw.Batch, rest []byte, code protocol.ErrorCode) {
	const lengthAt, lengthEnd, magicAt, least = 8, 12, 16, 14
	if len(records) < lengthEnd {
		return nil, nil, protocol.None
	}
	length := int64(int32(binary.BigEndian.Uint32(records[lengthAt:])))
	switch {
	case length < least, len(records) > magicAt && records[magicAt] > 2:
		return nil, nil, protocol.CorruptMessage
	case length+lengthEnd > int64(len(records)):
		return nil, nil, protocol.None
	}
	return raw.Batch(records[:length+lengthEnd]), records[length+lengthEnd:], protocol.None
}

// appendAsLeader is Partition.appendRecordsToLeader and UnifiedLog.append: the checks in Kafka's order.
// Size, checksum, form and timestamps come before the question whether the batch is there already.
func (r *replica) appendAsLeader(b raw.Batch, acks int16, v *verification) appended {
	if acks == -1 && len(r.isr) < r.minISR() {
		return refuse(protocol.NotEnoughReplicas, r.start)
	}
	cfg := &r.view.config
	limit := cfg.MaxMessageBytes
	if limit == 0 {
		limit = defaultMaxBytes
	}
	switch { // UnifiedLog.analyzeAndValidateRecords
	case b.Base() != 0:
		return refuse(protocol.InvalidRecord, r.start)
	case len(b) > limit:
		return refuse(protocol.MessageTooLarge, untold)
	case !b.Sound():
		return refuse(protocol.CorruptMessage, untold)
	}
	now := r.node.c.now()
	newest, a := validate(b, cfg, now)
	if a.code != protocol.None {
		a.start = r.start
		return a
	}
	if cfg.AppendTime {
		newest = now
	}
	return r.place(b, cfg, newest, v)
}

// validate is LogValidator: form first, then each record. newest is the largest timestamp of the records.
func validate(b raw.Batch, cfg *TopicConfig, now int64) (newest int64, a appended) {
	count := b.Count()
	switch {
	case b.LastDelta() < 0, count <= 0, count != b.LastDelta()+1, b.Is(raw.Control), b.PID() > -1 && b.Sequence() < 0:
		return 0, refuse(protocol.InvalidRecord, untold)
	}
	a = refuse(protocol.None, untold)
	newest = -1
	untimely := false
	whole := b.Records(func(i int, rec raw.Record) {
		stamp := rec.Timestamp
		if b.Is(raw.AppendTime) { // a client cannot rightly say so
			stamp = b.MaxTime()
		}
		newest = max(newest, stamp)
		switch {
		case cfg.Compact && rec.Key == nil:
			a.bad = append(a.bad, badRecord{int32(i), "a compacted topic takes no record without key"})
		case !cfg.AppendTime && stamp != -1:
			if outOfRange(cfg, now-stamp) {
				a.bad = append(a.bad, badRecord{int32(i), untimelyText(cfg, stamp, now)})
				untimely = true
			}
		case b.Is(raw.AppendTime):
			a.bad = append(a.bad, badRecord{int32(i), "log append time is not a client's to set"})
			untimely = true
		}
		if cfg.Refuse != nil && cfg.Refuse(rec.Value) && (len(a.bad) == 0 || a.bad[len(a.bad)-1].index != int32(i)) {
			a.bad = append(a.bad, badRecord{int32(i), "refused by a policy"})
		}
	})
	switch { // processRecordErrors: one bad timestamp decides the code of all
	case !whole:
		return 0, refuse(protocol.InvalidRecord, untold)
	case untimely:
		a.code, a.message = protocol.InvalidTimestamp, "one or more records have a timestamp out of range"
	case len(a.bad) > 0:
		a.code, a.message = protocol.InvalidRecord, "one or more records are refused"
		if cfg.Refuse != nil && !cfg.Named {
			a.bad = nil
		}
	}
	return newest, a
}

func outOfRange(cfg *TopicConfig, age int64) bool {
	return cfg.Before > 0 && age > cfg.Before || cfg.After > 0 && -age > cfg.After
}

// place finds the batch among the remembered ones, or puts it at the end of the log.
func (r *replica) place(b raw.Batch, cfg *TopicConfig, newest int64, v *verification) appended {
	e := entry{
		offset: r.end(), count: int64(b.Count()), epoch: r.epoch,
		pid: b.PID(), pepoch: b.PEpoch(), base: b.Sequence(), last: b.LastSequence(), maxTS: newest,
	}
	if e.pid > -1 {
		if d := r.duplicate(&e); d != nil {
			return appended{base: d.firstOffset(), end: d.offset + 1, stamp: d.maxTS, start: r.start}
		}
		if b.Is(raw.Transactional) {
			e.transactional = true
			if code := (transactions{r}).inTransaction(&e, v); code != protocol.None {
				return refuse(code, r.start)
			}
		}
		if code := r.order(&e); code != protocol.None {
			return refuse(code, r.start)
		}
		if p := r.producers[e.pid]; p != nil && p.open > 0 && !e.transactional { // ProducerAppendInfo.appendDataBatch
			return refuse(protocol.InvalidTxnState, r.start)
		}
	}
	stored := raw.Batch(bytes.Clone(b))
	stored.Place(e.offset, e.epoch)
	stored.Stamp(newest, cfg.AppendTime)
	e.raw = stored
	r.append(e)
	delete(r.verifying, e.pid)
	a := appended{base: e.offset, end: e.end(), stamp: -1, start: r.start}
	if cfg.AppendTime {
		a.stamp = newest
	}
	return a
}

// untimelyText is what a refusal says of a record with such a stamp.
func untimelyText(cfg *TopicConfig, stamp, now int64) string {
	if !cfg.Worded {
		return "the timestamp is out of range"
	}
	low, high := now-cfg.Before, now+cfg.After
	if cfg.Before == 0 {
		low = now - math.MaxInt64
	}
	if cfg.After == 0 {
		high = math.MinInt64 + now // it overflows
	}
	return fmt.Sprintf("Timestamp %d of message with offset 0 is out of range. The timestamp should be within [%d, %d]", stamp, low, high)
}
