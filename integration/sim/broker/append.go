package broker

import (
	"bytes"
	"encoding/binary"

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
	message string
	bad     []badRecord
}

type badRecord struct {
	index   int32
	message string
}

func refuse(code protocol.ErrorCode, message string) appended {
	return appended{code: code, base: -1, stamp: -1, message: message}
}

// appendAsLeader is Partition.appendRecordsToLeader and UnifiedLog.append: the checks in Kafka's order.
// Size, checksum, form and timestamps come before the question whether the batch is there already.
func (r *replica) appendAsLeader(b batch, acks int16) appended {
	if acks == -1 && len(r.isr) < r.minISR() {
		return refuse(protocol.NotEnoughReplicas, "")
	}
	cfg := r.node.config(r.topic)
	// UnifiedLog.analyzeAndValidateRecords.
	limit := cfg.MaxMessageBytes
	if limit == 0 {
		limit = defaultMaxBytes
	}
	switch {
	case b.i64(offBase) != 0:
		return refuse(protocol.InvalidRecord, "the base offset must be 0")
	case len(b) > limit:
		return refuse(protocol.MessageTooLarge, "")
	case !b.sound():
		return refuse(protocol.CorruptMessage, "")
	}
	if a := validate(b, &cfg, r.node.c.now()); a.code != protocol.None {
		return a
	}
	return r.place(b, &cfg)
}

// validate is LogValidator: form first, then each record.
func validate(b batch, cfg *TopicConfig, now int64) appended {
	count := b.i32(offCount)
	switch {
	case b.i32(offLastDelta) < 0, count <= 0, count != b.i32(offLastDelta)+1:
		return refuse(protocol.InvalidRecord, "the count of records is wrong")
	case b.i16(offAttributes)&flagControl != 0:
		return refuse(protocol.InvalidRecord, "clients are not allowed to write control records")
	case b.i64(offPID) > -1 && b.i32(offSequence) < 0:
		return refuse(protocol.InvalidRecord, "invalid sequence number")
	}
	a := refuse(protocol.None, "")
	whole := b.records(func(i int, delta int64, rec *Record) {
		switch {
		case cfg.Compact && rec.Key == nil:
			a.bad = append(a.bad, badRecord{int32(i), "compacted topic cannot accept message without key"})
			a.code = max(a.code, protocol.InvalidRecord)
		case !cfg.AppendTime && rec.Timestamp != -1 && outOfRange(cfg, now-rec.Timestamp):
			a.bad = append(a.bad, badRecord{int32(i), "timestamp is out of range"})
			a.code = protocol.InvalidTimestamp
		case cfg.Refuse != nil && cfg.Refuse(rec.Value):
			a.bad = append(a.bad, badRecord{int32(i), "refused by a policy"})
			a.code = max(a.code, protocol.InvalidRecord)
		}
	})
	if !whole {
		return refuse(protocol.InvalidRecord, "the records cannot be read")
	}
	for i := range a.bad { // one bad timestamp decides the code of all (processRecordErrors)
		if a.bad[i].message == "timestamp is out of range" {
			a.code = protocol.InvalidTimestamp
		}
	}
	if a.code == protocol.InvalidRecord && cfg.Refuse != nil && !cfg.Named {
		a.bad = nil
	}
	return a
}

func outOfRange(cfg *TopicConfig, age int64) bool {
	return cfg.Before > 0 && age > cfg.Before || cfg.After > 0 && -age > cfg.After
}

// place finds the batch among the remembered ones, or puts it at the end of the log.
func (r *replica) place(b batch, cfg *TopicConfig) appended {
	pid, epoch, base := b.i64(offPID), b.i16(offPEpoch), b.i32(offSequence)
	count := int64(b.i32(offCount))
	last := int32((int64(base) + count - 1) & (1<<31 - 1))
	if base < 0 {
		last = -1
	}
	if pid > -1 {
		if d := r.duplicate(pid, epoch, base, last); d != nil {
			return appended{base: d.firstOffset(), end: d.offset + 1, stamp: d.maxTS}
		}
		switch r.order(pid, epoch, base) {
		case staleEpoch:
			return refuse(protocol.InvalidProducerEpoch, "")
		case outOfOrder:
			return refuse(protocol.OutOfOrderSequenceNumber, "")
		}
	}
	e := entry{
		offset: r.end(), count: count, epoch: r.epoch, pid: pid, pepoch: epoch, base: base, last: last,
		maxTS: int64(-1), raw: bytes.Clone(b),
	}
	stamp := int64(-1)
	if cfg.AppendTime {
		stamp = r.node.c.now()
		e.maxTS = stamp
		attributes := uint16(b.i16(offAttributes)) | flagAppendTime
		binary.BigEndian.PutUint16(e.raw[offAttributes:], attributes)
	} else {
		b.records(func(_ int, _ int64, rec *Record) { e.maxTS = max(e.maxTS, rec.Timestamp) })
	}
	binary.BigEndian.PutUint64(e.raw[offBase:], uint64(e.offset))
	binary.BigEndian.PutUint32(e.raw[offEpoch:], uint32(r.epoch))
	if e.maxTS != b.i64(offMaxTS) || cfg.AppendTime {
		binary.BigEndian.PutUint64(e.raw[offMaxTS:], uint64(e.maxTS))
		resum(e.raw)
	}
	r.append(e)
	return appended{base: e.offset, end: e.end(), stamp: stamp}
}
