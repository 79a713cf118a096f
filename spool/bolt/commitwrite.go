package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
)

// write carries the transaction out in bbolt.
func (s *committer) write(t *transaction) (err error) {
	a := t.target
	tx, err := a.db.Begin(true)
	if err != nil {
		return err
	}
	tx.Cursor().Bucket().FillPercent = 1
	head := a.head
	if err := s.fill(tx, t, &head); err != nil {
		_ = tx.Rollback()
		return err
	}
	s.opt.Faults.at("before commit")
	if err := s.opt.Faults.commitTx(tx); err != nil {
		return err
	}
	s.opt.Faults.at("after commit")
	a.head = head
	if err := a.db.View(func(tx *bbolt.Tx) error { a.hwm = tx.Size(); return nil }); err != nil {
		return err
	}
	st, err := a.file.Stat()
	if err != nil {
		return err
	}
	// bbolt may have cut off what was allocated ahead, or written beyond it.
	a.allocated = max(min(a.allocated, st.Size()), a.hwm)
	return nil
}

func (s *committer) fill(tx *bbolt.Tx, t *transaction, head *spool.Head) error {
	state, err := s.stateBucket(tx, t, head)
	if err != nil {
		return err
	}
	for i := range t.changes.List {
		grown, err := putPair(state, &t.changes.List[i], head)
		if err != nil {
			return err
		}
		t.target.stateBytes += int64(grown)
	}
	if t.from == nil { // else they stay in the file that is left
		for _, b := range t.gone {
			name := b.name()
			if err := tx.DeleteBucket(name); err != nil {
				return fmt.Errorf("delete block %d: %w", b.number, err)
			}
			toggleBlock(&head.BlockSum, name, b.crc)
			head.Blocks--
		}
		if err := deleteKeys(tx, t, head); err != nil {
			return err
		}
	}
	for _, b := range []struct{ name, value []byte }{{blockName(t.number), t.block}, {stagedName(t.number), t.staged}} {
		if b.value == nil {
			continue
		}
		if err := putBlock(tx, b.name, b.value); err != nil {
			return err
		}
		toggleBlock(&head.BlockSum, b.name, lastFour(b.value))
		head.Blocks++
	}
	if t.keys != nil {
		name := keysName(t.number)
		if err := putBlock(tx, name, t.keys); err != nil {
			return err
		}
		toggleBlock(&head.KeySum, name, lastFour(t.keys))
		head.Keys++
	}
	now := s.clock.now()
	head.Segment, head.Block, head.Age, head.BootTime, head.Boot = t.target.number, t.number, now.Age, s.clock.boot(), s.boot
	b, err := tx.CreateBucketIfNotExists(nameHead)
	if err != nil {
		return err
	}
	return b.Put(keyHead, spool.AppendHead(nil, head))
}

// stateBucket is the bucket of the state's pairs; in a new segment, with all pairs of the former one.
func (s *committer) stateBucket(tx *bbolt.Tx, t *transaction, head *spool.Head) (*bbolt.Bucket, error) {
	state, err := tx.CreateBucketIfNotExists(nameState)
	if err != nil || t.from == nil {
		return state, err
	}
	state.FillPercent = 0.9
	head.Pairs, head.PairSum = t.from.head.Pairs, t.from.head.PairSum
	t.target.stateBytes = t.from.stateBytes
	err = t.from.db.View(func(old *bbolt.Tx) error {
		b := old.Bucket(nameState)
		if b == nil {
			return corrupt(t.from.number, spool.NoBlock, "the state is missing")
		}
		return b.ForEach(func(k, v []byte) error { return state.Put(bytes.Clone(k), bytes.Clone(v)) })
	})
	return state, err
}

// putPair changes one pair of the state, and keeps the head's checksum. It says by how much
// the state has grown.
func putPair(state *bbolt.Bucket, kv *spool.KV, head *spool.Head) (grown int, err error) {
	if old := state.Get(kv.Key); old != nil {
		head.PairSum.Toggle(kv.Key, old)
		head.Pairs--
		grown -= len(kv.Key) + len(old) + leafElement
	}
	if kv.Value == nil {
		return grown, state.Delete(kv.Key)
	}
	head.PairSum.Toggle(kv.Key, kv.Value)
	head.Pairs++
	return grown + len(kv.Key) + len(kv.Value) + leafElement, state.Put(kv.Key, kv.Value)
}

// putBlock puts a value into a bucket of its own: so bbolt writes it once, and
// never copies it again.
func putBlock(tx *bbolt.Tx, name, value []byte) error {
	b, err := tx.CreateBucket(name)
	if err != nil {
		return err
	}
	return b.Put(keyData, value)
}

func deleteKeys(tx *bbolt.Tx, t *transaction, head *spool.Head) error {
	for _, k := range t.goneKeys {
		if k.Segment != t.target.number {
			continue
		}
		name := keysName(k.Number)
		b := tx.Bucket(name)
		if b == nil {
			return corrupt(k.Segment, k.Number, "idempotency keys are missing")
		}
		value := b.Get(keyData)
		toggleBlock(&head.KeySum, name, lastFour(value))
		head.Keys--
		t.target.keyBytes -= int64(len(value)) + keyBlockRoom
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// keyBlockRoom is what a block of keys takes besides its value, inline.
const keyBlockRoom = 64

func lastFour(b []byte) uint32 { return binary.LittleEndian.Uint32(b[len(b)-4:]) }
