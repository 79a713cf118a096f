package bolt

import (
	"context"
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

// QuotaPolicy is what becomes of records for a topic that is at its quota.
type QuotaPolicy uint8

// Policies.
const (
	QuotaBlock      QuotaPolicy = iota // Append waits
	QuotaReject                        // Append does not wait
	QuotaDropOldest                    // as QuotaBlock, and Crowded reports the topic, so that its oldest records are dropped
)

// Quota bounds what the pending records of a topic may take, in bytes as they are encoded in the spool.
type Quota struct {
	Bytes int64 // 0: there is no quota
	Full  QuotaPolicy
}

// QuotaError says that a topic is at its quota. It is also ErrFull, or ErrTooLarge if the records never fit.
type QuotaError struct {
	Topic string
	Bytes int64 // its quota
	Taken int64 // by its pending records
	More  int64 // would come
}

func (e *QuotaError) Error() string {
	if e.More > e.Bytes {
		return fmt.Sprintf("%d bytes came at once for topic %s, whose pending records may take %d (topic.quota.bytes or topic.quota.topics)", e.More, e.Topic, e.Bytes)
	}
	return fmt.Sprintf("topic %s is at its quota: its pending records take %d bytes of at most %d (topic.quota.bytes or topic.quota.topics), and %d more came", e.Topic, e.Taken, e.Bytes, e.More)
}

// Is reports whether target is what the error is besides.
func (e *QuotaError) Is(target error) bool {
	if e.More > e.Bytes {
		return target == ErrTooLarge
	}
	return target == ErrFull
}

// QuotaUse is how a topic stands to its quota.
type QuotaUse struct {
	Bytes int64 // the quota
	Taken int64 // by pending records
	Full  bool  // records were refused or wait, and there is no room for them yet
}

// quotas are those of all topics. With Options.Quota nil there are none.
type quotas struct {
	*Store
	crowded chan struct{} // has a value when over is not empty
	rest    []*quota      // of which a start has not measured all; the committer's

	// Under mu.
	over  map[spool.LaneID]struct{} // above the mark at which the oldest are dropped, and not reported yet
	short int                       // topics that refused records and have no room for them yet: settlements are committed at once
}

// quota is a lane's.
type quota struct {
	Quota
	in *quotas
	id spool.LaneID

	// Under mu.
	taken   int64 // by records that were appended and have not left
	refused int64 // bytes of records that found no room since there was some
	turns   turns // of those who wait for it; they have no place among those who wait for room in the spool

	runs quotaRuns // under view
}

// A topic whose oldest records are dropped is kept between these parts of its quota, so that callers seldom wait for it.
const (
	dropFrom = 16 // above 15/16
	dropTo   = 8  // down to 7/8
)

// of is the quota of a new lane, or nil.
func (s *quotas) of(topic string, id spool.LaneID) *quota {
	if s.opt.Quota == nil {
		return nil
	}
	q := s.opt.Quota(topic)
	if q.Bytes <= 0 {
		return nil
	}
	return &quota{Quota: q, in: s, id: id}
}

// demand is what a caller has for one topic.
type demand struct {
	topic string
	bytes int64
}

// demands are what a batch has for its topics.
func (s *quotas) demands(b *BatchInput) (list []demand) {
	if s.opt.Quota == nil {
		return nil
	}
	for i := range b.Records {
		r := &b.Records[i]
		size := int64(spool.EntrySize(spool.BodySize(r.Key, r.Value, r.Headers), r.Partition))
		at := slices.IndexFunc(list, func(d demand) bool { return d.topic == r.Topic })
		if at < 0 {
			list = append(list, demand{r.Topic, size})
			continue
		}
		list[at].bytes += size
	}
	return list
}

// queued is a caller's among those who wait: for a topic's quota, then for room in the spool.
type queued struct {
	room  *turn
	quota *turn
	at    *quota // where quota is
}

// leaveQuota gives up a place among those who wait for a quota. Under mu.
func (p *queued) leaveQuota() {
	if p.at != nil {
		p.at.turns.leave(p.quota)
	}
	p.quota, p.at = nil, nil
}

// await waits until the quotas of all topics have room: waited says that it did, and that everything is to be looked at again. The
// place among those who wait for room in the spool is given up meanwhile, so that a topic at its quota stops no other. If it
// returns an error, mu is not held, and no place is. Under mu.
func (s *quotas) await(ctx context.Context, p *queued, list []demand) (waited bool, err error) {
	for len(list) > 0 && s.err == nil && !s.closing {
		q, why, final := s.full(list, p.quota)
		if why == nil {
			break
		}
		s.turns.leave(p.room)
		p.room = nil
		if final {
			p.leaveQuota()
			s.mu.Unlock()
			return false, why
		}
		if p.at != q {
			p.leaveQuota()
			p.quota, p.at = &turn{next: make(chan struct{}, 1)}, q
			q.turns.list = append(q.turns.list, p.quota)
		}
		s.crowd(q)
		next := p.quota.next
		s.mu.Unlock()
		select {
		case <-next:
			s.mu.Lock()
			waited = true
		case <-ctx.Done():
			s.mu.Lock()
			p.leaveQuota()
			s.mu.Unlock()
			return false, fmt.Errorf("%w: %w", why, context.Cause(ctx))
		}
	}
	if !waited {
		p.leaveQuota()
	}
	return waited, nil
}

// full says which topic has no room, and why. final: nobody is to wait for it. own is the caller's place among those who wait. Under mu.
func (s *quotas) full(list []demand, own *turn) (q *quota, why *QuotaError, final bool) {
	for _, d := range list {
		l := s.lanes[d.topic]
		if l == nil {
			if q := s.of(d.topic, 0); q != nil && d.bytes > q.Bytes {
				return nil, &QuotaError{d.topic, q.Bytes, 0, d.bytes}, true
			}
			continue
		}
		q := l.quota
		switch {
		case q == nil:
			continue
		case d.bytes > q.Bytes:
			return q, &QuotaError{d.topic, q.Bytes, q.taken, d.bytes}, true
		case q.taken+d.bytes <= q.Bytes && (len(q.turns.list) == 0 || q.turns.list[0] == own):
			continue
		}
		if q.refused == 0 {
			s.short++
			s.wake()
		}
		q.refused = max(q.refused, d.bytes)
		return q, &QuotaError{d.topic, q.Bytes, q.taken, d.bytes}, q.Full == QuotaReject
	}
	return nil, nil, false
}

// took counts bytes that were appended. A nil quota counts nothing. Under mu.
func (q *quota) took(bytes int) {
	if q != nil {
		q.taken += int64(bytes)
		q.in.crowd(q)
	}
}

// crowd notes that the oldest records of a topic are to be dropped, if that is so. Under mu.
func (s *quotas) crowd(q *quota) {
	if q.excess() == 0 {
		return
	}
	s.over[q.id] = struct{}{}
	select {
	case s.crowded <- struct{}{}:
	default:
	}
}

// excess is how many bytes are to leave. Under mu.
func (q *quota) excess() int64 {
	if q.Full != QuotaDropOldest || q.taken <= q.Bytes-q.Bytes/dropFrom && (len(q.turns.list) == 0 || q.taken+q.refused <= q.Bytes) {
		return 0
	}
	return max(q.taken-(q.Bytes-q.Bytes/dropTo), q.taken+q.refused-q.Bytes, 1)
}

// Crowded gets a value when TakeCrowded has lanes to give.
func (s *quotas) Crowded() <-chan struct{} { return s.crowded }

// TakeCrowded gives the lanes whose oldest records are to be dropped, each once until it is crowded anew.
func (s *quotas) TakeCrowded() (list []spool.LaneID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.over {
		list = append(list, id)
	}
	clear(s.over)
	slices.Sort(list)
	return list
}

// Excess is one above the last of the entries from index from on that are to be dropped, so that a lane fits its quota; 0: none is.
func (s *quotas) Excess(id spool.LaneID, from spool.Index) spool.Index {
	s.mu.Lock()
	var q *quota
	need := int64(0)
	if int(id) < len(s.laneByID) {
		if q = s.laneByID[id].quota; q != nil {
			need = q.excess()
		}
	}
	s.mu.Unlock()
	if need == 0 {
		return 0
	}
	s.view.RLock()
	defer s.view.RUnlock()
	if int(id) >= s.state.Lanes() {
		return 0
	}
	return q.runs.first(need, from, s.state.Settled(id))
}

// Quotas are how topics with a quota stand to it, by name.
func (s *quotas) Quotas() map[string]QuotaUse {
	if s.opt.Quota == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]QuotaUse)
	for _, l := range s.laneByID {
		if q := l.quota; q != nil {
			out[l.topic] = QuotaUse{q.Bytes, q.taken, q.refused > 0}
		}
	}
	return out
}

// wakeAll wakes those who wait for quotas at the end. Under mu.
func (s *quotas) wakeAll() {
	if s.opt.Quota == nil || s.err == nil && !s.closing {
		return
	}
	for _, l := range s.laneByID {
		if l.quota != nil {
			l.quota.turns.callFirst()
		}
	}
}
