package disk

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Model is a spool's contract. The zero value is not usable; see NewModel.
type Model struct {
	id    string
	rules Rules
	// told of every commit that is durable, whatever became of the process.
	told func([]DurableBatch, []*spool.Write)

	// On the disk.
	pairs map[string][]byte // of the state, encoded
	lanes []*laneLog
	keys  map[uint64][]byte // blocks of idempotency keys, encoded, by number
	// keyBytes is what all blocks take that were written since there was none: in a real spool keys of several may be carried into one,
	// which stays while one of them counts.
	keyBytes int64
	block    uint64 // of the last commit
	age      int64  // spool clock at the last commit
	boot     int64  // CLOCK_BOOTTIME then
	boots    int

	// In memory, of this life.
	st     *spool.State
	index  *spool.KeyIndex
	clock  Clock
	base   int64 // age when boot time was zero
	last   int64 // age that was told last
	groups uint64
	open   *group
	taken  *stage // of the commit under way; nil: there is none
	ends   map[string]*end
	count  int // of ends, which are lanes
	live   int64
	kept   []uint64                 // groups that nobody asked about yet
	known  map[spool.KeyDigest]bool // idempotency keys that the start found
}

// laneLog is a lane's entries. Those above durable are gone after a crash.
type laneLog struct {
	topic   string
	entries [][]byte
	durable spool.Index
	blocks  []spool.Span // what each commit that is durable has added
}

// end is a lane as Append sees it.
type end struct {
	id   spool.LaneID
	next spool.Index
}

// group is what one commit makes durable of callers' doing.
type group struct {
	number uint64
	items  []item
}

// item is a batch of the open group.
type item struct {
	batch    *bolt.BatchInput
	spots    []Spot
	entries  [][]byte
	lanes    []spool.NewLane
	key      *spool.KeyRecord
	keyBlock *spool.KeyBlock
	staged   []bool // by record: it was written before; nil: none was. See Alone.CommitUnit
}

// stage is one commit, ready to be durable.
type stage struct {
	number  uint64
	group   uint64
	age     int64
	boot    int64
	changes spool.Changes
	items   []item
	writes  []*spool.Write
	keys    []byte
	gone    []*spool.KeyBlock
	events  spool.Committed
}

// NewModel is an empty disk.
func NewModel(id string, rules Rules) *Model {
	return &Model{id: id, rules: rules, pairs: map[string][]byte{}, keys: map[uint64][]byte{}}
}

// OnDurable has f told of every commit that is durable, whatever became of the process.
func (m *Model) OnDurable(f func([]DurableBatch, []*spool.Write)) { m.told = f }

// Open implements Disk.
func (m *Model) Open(c Clock) (*spool.Recovered, error) {
	m.clock, m.open, m.taken, m.groups, m.kept = c, nil, nil, 0, nil
	if err := m.loadState(); err != nil {
		return nil, err
	}
	boot := c.Boot()
	age := m.age
	if c.Boots == m.boots && boot > m.boot {
		age += boot - m.boot
	}
	m.base, m.last = age-boot, age
	if err := m.loadKeys(); err != nil {
		return nil, err
	}
	m.ends, m.count, m.live = map[string]*end{}, len(m.lanes), 0
	for i, l := range m.lanes {
		m.ends[l.topic] = &end{spool.LaneID(i), spool.Index(len(l.entries))}
		settled := m.st.Settled(spool.LaneID(i))
		for k := settled.NextAbsent(0); k < spool.Index(len(l.entries)); k = settled.NextAbsent(k + 1) {
			m.live += int64(len(l.entries[k]))
		}
	}
	m.open = m.newGroup()
	var out spool.Changes
	m.st.Binding.Incarnation++
	m.st.Rebind(&out)
	m.put(&out)
	m.block++
	m.age, m.boot, m.boots = m.now(), boot, c.Boots
	return m.st.Recovered(), nil
}

// loadState makes the state of the pairs, with the product's decoder.
func (m *Model) loadState() error {
	if len(m.pairs) == 0 {
		m.st = spool.NewState()
		m.st.Binding = spool.Binding{SpoolID: m.id, Former: protocol.NoIdentity}
		return nil
	}
	ld := spool.NewLoader()
	for _, k := range slices.Sorted(maps.Keys(m.pairs)) {
		if err := ld.Pair([]byte(k), m.pairs[k]); err != nil {
			return fmt.Errorf("disk: what was written cannot be read: %w", err)
		}
	}
	st, err := ld.State()
	if err != nil {
		return fmt.Errorf("disk: what was written does not fit together: %w", err)
	}
	m.st = st
	return nil
}

func (m *Model) loadKeys() error {
	m.index = spool.NewKeyIndex(m.rules.Keys)
	var all []spool.FoundKey
	for _, n := range slices.Sorted(maps.Keys(m.keys)) {
		recs, _, err := spool.DecodeKeys(n, m.keys[n])
		if err != nil {
			return fmt.Errorf("disk: what was written cannot be read: %w", err)
		}
		b := &spool.KeyBlock{Number: n, Segment: 1}
		for _, r := range recs {
			all = append(all, spool.FoundKey{KeyRecord: r, Block: b})
		}
	}
	slices.SortStableFunc(all, func(a, b spool.FoundKey) int { return cmp.Compare(a.Age, b.Age) })
	// The last of those with one digest counts, and of all the youngest that may be known.
	m.known = map[spool.KeyDigest]bool{}
	var keep []spool.FoundKey
	for _, f := range slices.Backward(all) {
		if !m.known[f.Digest] && m.now()-f.Age < m.rules.Keys.Window && len(keep) < m.rules.Keys.Max {
			m.known[f.Digest] = true
			keep = append(keep, f)
		}
	}
	for _, f := range slices.Backward(keep) {
		m.index.Add(f.KeyRecord, f.Block)
	}
	for _, f := range all {
		if f.Block.Live == 0 {
			delete(m.keys, f.Block.Number)
		}
	}
	return nil
}

// now is the spool clock.
func (m *Model) now() int64 {
	m.last = max(m.last, m.base+m.clock.Boot())
	return m.last
}

// Now implements Disk.
func (m *Model) Now() spool.Time { return spool.Time{Wall: m.clock.Wall(), Age: m.now()} }

func (m *Model) newGroup() *group {
	m.groups++
	return &group{number: m.groups}
}

// Note implements Disk.
func (m *Model) Note(name string) ([]byte, bool) { return m.st.Note(name) }

// DeadLettered implements Disk.
func (m *Model) DeadLettered(lane spool.LaneID, i spool.Index) bool {
	return m.st.DeadLettered(lane, i)
}

// Counters implements Disk.
func (m *Model) Counters() spool.Counters { return m.st.Counters() }

// Bytes implements Disk.
func (m *Model) Bytes() int64 { return m.live }

// Close implements Disk.
func (m *Model) Close() {}

// Crash implements Disk: memory goes; a commit under way may be durable.
func (m *Model) Crash(_ bool, pick func(n int) int) { m.interrupt(pick(m.ways()) == 1) }

// ways is how many states of the disk a crash may leave.
func (m *Model) ways() int {
	if m.taken == nil {
		return 1
	}
	return 2
}

// drop forgets what is in memory only.
func (m *Model) drop() {
	for i, l := range m.lanes {
		l.entries = l.entries[:l.durable]
		if l.durable == 0 && m.pairs[string(laneKey(i))] == nil {
			m.lanes = m.lanes[:i]
			break
		}
	}
	m.st, m.index, m.open, m.taken, m.ends = nil, nil, nil, nil, nil
}

// Copy implements Disk.
func (m *Model) Copy() Disk { return m.copy() }

func (m *Model) copy() *Model {
	c := &Model{id: m.id, rules: m.rules, pairs: maps.Clone(m.pairs), keys: maps.Clone(m.keys), keyBytes: m.keyBytes,
		block: m.block, age: m.age, boot: m.boot, boots: m.boots}
	for i, l := range m.lanes {
		if l.durable == 0 && m.pairs[string(laneKey(i))] == nil {
			break
		}
		c.lanes = append(c.lanes, &laneLog{topic: l.topic, entries: slices.Clone(l.entries[:l.durable]), durable: l.durable, blocks: slices.Clone(l.blocks)})
	}
	return c
}
