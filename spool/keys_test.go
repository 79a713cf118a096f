package spool

import (
	"math/rand/v2"
	"testing"
)

// slowKeys is the rule in its simplest form.
type slowKeys struct {
	rule KeyRule
	list []KeyRecord // by age
}

func (m *slowKeys) find(d KeyDigest, body uint64, now int64) KeyVerdict {
	for len(m.list) > 0 && now-m.list[0].Age >= m.rule.Window {
		m.list = m.list[1:]
	}
	for _, k := range m.list {
		if k.Digest == d && k.Body == body {
			return KeyRepeat
		} else if k.Digest == d {
			return KeyReused
		}
	}
	if len(m.list) >= m.rule.Max && now-m.list[0].Age < m.rule.Floor {
		return KeyNoRoom
	}
	return KeyNew
}

func TestKeyIndexFollowsTheRule(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		rule := KeyRule{Window: 1000, Floor: 100, Max: 1 + rng.IntN(20)}
		x, m := NewKeyIndex(rule), &slowKeys{rule: rule}
		now := int64(0)
		blocks := map[*KeyBlock]bool{}
		for range 300 {
			now += int64(rng.IntN(1 << rng.IntN(9)))
			d, body := KeyDigest{byte(rng.IntN(40))}, uint64(rng.IntN(2))
			hit, got := x.Find(d, body, now)
			if want := m.find(d, body, now); got != want {
				t.Fatalf("at %d: key %d: %d, want %d", now, d[0], got, want)
			}
			if got == KeyRepeat && (len(hit.Runs) != 1 || hit.Runs[0].First != Index(d[0])) {
				t.Fatalf("key %d was found at %+v", d[0], hit.Runs)
			}
			if got != KeyNew {
				continue
			}
			b := &KeyBlock{Number: uint64(now), Segment: uint64(rng.IntN(3))}
			rec := KeyRecord{Digest: d, Body: body, Age: now, Runs: []KeyRun{{0, Index(d[0]), 1}}}
			x.Add(rec, b)
			if m.list = append(m.list, rec); len(m.list) > rule.Max {
				m.list = m.list[1:]
			}
			blocks[b] = true
			if rng.IntN(20) == 0 {
				home := &KeyBlock{Number: uint64(now), Segment: 7}
				x.Carry(1, home)
				blocks[home] = true
			}
			for _, gone := range x.TakeEmptied() {
				delete(blocks, gone)
			}
			live := 0
			for b := range blocks {
				live += b.Live
			}
			if x.Len() != len(m.list) || live != x.Len() {
				t.Fatalf("at %d: %d keys, blocks hold %d, want %d", now, x.Len(), live, len(m.list))
			}
		}
	}
}
