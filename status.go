package spoold

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Status is everything at one moment, as /api/status prints it. Counters are kept since
// the spool was created, on disk with what they count: at any instant Accepted =
// Acked + Pending + DeadLettered + Expired + Lost, and each is the sum of the topics'. An ack counts
// when it is on disk, until then the record is pending. It never changes; ask again for a newer one.
type Status struct {
	Version       string    `json:"version"`
	Time          time.Time `json:"time"`
	UptimeSeconds float64   `json:"uptime_seconds"`

	Accepted     uint64 `json:"accepted"`
	Acked        uint64 `json:"acked"`
	Committed    uint64 `json:"committed"` // of Acked, in Kafka transactions
	Pending      uint64 `json:"pending"`
	DeadLettered uint64 `json:"dead_lettered"`
	Expired      uint64 `json:"expired"`
	Lost         uint64 `json:"lost"` // damage to the disk took them: the topics' gaps say which

	DamagedFiles []string `json:"damaged_files,omitempty"` // segments that were set aside and are kept; they count in what the spool owns

	SpoolPath       string `json:"spool_path"`
	SpoolBytes      int64  `json:"spool_bytes"`
	SpoolLimitBytes int64  `json:"spool_limit_bytes"`
	SpoolDiskBytes  int64  `json:"spool_disk_bytes"` // what the spool's files take on the disk; SpoolBytes is what is needed of them
	DiskFreeBytes   int64  `json:"disk_free_bytes"`
	DeadLetters     int    `json:"dead_letters"`         // that are held now, neither dropped nor replayed; DeadLettered counts all there ever were
	SpoolFull       string `json:"spool_full,omitempty"` // why nothing is taken now
	// CommitSeconds is how long the commit under way has taken: it grows without end on a disk that hangs. 0: there is none.
	CommitSeconds    float64 `json:"commit_seconds"`
	Segments         int     `json:"segments"`
	OldestAgeSeconds float64 `json:"oldest_age_seconds"` // of the oldest pending record; 0: none
	IdempotencyKeys  int     `json:"idempotency_keys"`

	Link             string  `json:"link"` // "up" or "down"
	LinkSinceSeconds float64 `json:"link_since_seconds"`
	LinkError        string  `json:"link_error,omitempty"`
	// ForeignCluster is the id of the cluster that the brokers are of, where the link is down since the spool belongs to another.
	ForeignCluster   string `json:"foreign_cluster,omitempty"`
	Brokers          int    `json:"brokers"` // connected
	ClusterID        string `json:"cluster_id"`
	Producer         string `json:"producer"` // producer id/epoch of this start; "" before the first contact
	Retries          uint64 `json:"retries"`  // batches sent once more, since this start
	RequestsInFlight int    `json:"requests_in_flight"`
	// MetadataAgeSeconds is the age of what is known of the cluster; 0 before the first contact.
	MetadataAgeSeconds float64 `json:"metadata_age_seconds"`
	SendersWaiting     int     `json:"senders_waiting"`   // callers of Send that wait for room
	SendWaitSeconds    float64 `json:"send_wait_seconds"` // that callers waited for room in all, since Open
	// Transaction is nil without transactional.id.
	Transaction *TransactionStatus `json:"transaction,omitempty"`

	// Certificates are, of those that the configuration names, the Expiring ones. What brokers show is not among them.
	Certificates []Certificate `json:"certificates,omitempty"`

	// Followed are the files that the daemon follows, by section of its configuration; none in the library.
	Followed []FollowedFiles `json:"followed,omitempty"`

	State  string        `json:"state"` // "running", "closing" or "stopped"
	Error  string        `json:"error,omitempty"`
	Topics []TopicStatus `json:"topics"`
}

// FollowedFiles is what became of the files of one section since the daemon began to follow them.
type FollowedFiles struct {
	Section  string `json:"section"`
	Topic    string `json:"topic"`
	Running  bool   `json:"running"`         // false: an error ended it
	Error    string `json:"error,omitempty"` // that error
	Files    int64  `json:"files"`
	Records  int64  `json:"records"`
	Bytes    int64  `json:"bytes"`
	TooLong  int64  `json:"too_long"` // records over the limit
	Gaps     int64  `json:"gaps"`     // places where bytes were cut off that may not have been read
	GapBytes int64  `json:"gap_bytes"`

	Unreadable int64  `json:"unreadable"`        // files and directories that cannot be read now
	Problem    string `json:"problem,omitempty"` // of the first of them
}

// Troubled reports whether lines of the files may stay unread until somebody does something.
func (f *FollowedFiles) Troubled() bool { return !f.Running || f.Unreadable > 0 }

// TopicStatus is one topic, with counters as those of Status.
type TopicStatus struct {
	Topic            string  `json:"topic"`
	TopicID          string  `json:"topic_id,omitempty"`
	Accepted         uint64  `json:"accepted"`
	Acked            uint64  `json:"acked"`
	Pending          uint64  `json:"pending"`
	DeadLettered     uint64  `json:"dead_lettered"`
	Expired          uint64  `json:"expired"`
	Lost             uint64  `json:"lost"`
	DeadLetters      int     `json:"dead_letters"`       // that are held now; DeadLettered counts all there ever were
	Bytes            int64   `json:"bytes"`              // on disk, of sections that hold pending records, about; 0 in Peek
	OldestAgeSeconds float64 `json:"oldest_age_seconds"` // of the oldest pending record; 0: none
	State            string  `json:"state"`              // "delivering", "idle", "waiting", "unknown-topic", "parked", "resolving"
	Detail           string  `json:"detail,omitempty"`
	Trouble          string  `json:"trouble,omitempty"`         // why pending records cannot leave though the cluster is reached
	PartitionCount   int32   `json:"partition_count,omitempty"` // of the topic; 0: not known yet
	// QuotaBytes is what the topic's pending records may take (topic.quota.bytes; 0: no quota), QuotaUsedBytes what they take, and
	// QuotaFull why records for it are refused or wait, or "".
	QuotaBytes     int64             `json:"quota_bytes,omitempty"`
	QuotaUsedBytes int64             `json:"quota_used_bytes,omitempty"`
	QuotaFull      string            `json:"quota_full,omitempty"`
	Partitions     []PartitionStatus `json:"partitions"`
	// Gaps are which of the records expired or are lost, oldest first; of a running Producer the last ones, for all topics together.
	Gaps []Gap `json:"gaps,omitempty"`
}

// PartitionStatus is one partition that something was sent to, or that is parked.
type PartitionStatus struct {
	Partition  int32  `json:"partition"`
	Leader     int32  `json:"leader"` // -1: none known
	State      string `json:"state"`  // "ready", "waiting", "asking", "resolving", "parked"
	InFlight   int    `json:"in_flight"`
	InDoubt    int    `json:"in_doubt"`    // records sealed and not settled
	LastOffset int64  `json:"last_offset"` // of the last acked record; -1: none
	Producer   string `json:"producer,omitempty"`
	ParkReason string `json:"park_reason,omitempty"`
	ParkedAt   int64  `json:"parked_at,omitempty"` // ms since 1970
	Detail     string `json:"detail,omitempty"`
	MayAsk     bool   `json:"may_ask"` // false: no right to read the topic, so one batch in flight
}

// statusWait bounds how long Status waits for the loop, which is never busy for long; settleWait, how long for the disk.
const (
	statusWait = time.Second
	settleWait = statusWait / 4
)

// Status is the present state. With a transactional id, what was answered before the call is counted, unless the disk is slow. It blocks
// for at most about a second. It is also given after Close: the last one. Safe for concurrent use.
func (p *Producer) Status() *Status {
	ctx, cancel := context.WithTimeout(context.Background(), statusWait)
	defer cancel()
	e := p.engines.now.Load()
	if p.cfg.TransactionalID != "" {
		settled, stop := context.WithTimeout(ctx, settleWait)
		_ = bolt.Settle(settled, e.store) // a disk that fails, or is slow, shows in what follows
		stop()
	}
	st := p.status(e.loop.Refresh(ctx))
	bytes := e.store.LaneBytes()
	for i := range st.Topics {
		if t := &st.Topics[i]; t.Pending > 0 {
			t.Bytes = bytes[t.Topic]
		}
	}
	return st
}

// Peek is Status as it was published last, at most about 100 ms old while things
// change; ages are those of this moment. It waits for nobody and costs little.
func (p *Producer) Peek() *Status { return p.status(p.engines.now.Load().loop.Snapshot()) }

func (p *Producer) status(s *loop.Snapshot) *Status {
	select {
	case <-p.life.done:
		// The last snapshot is older than the last commit, which holds the last acks.
		last := *s
		last.Store, last.Lanes = p.engines.now.Load().store.Lanes()
		s = &last
	default:
	}
	c := &s.Store.Counters
	now := s.Now
	if !p.life.ending.Load() {
		now = p.engines.now.Load().store.Now()
	}
	since := max(0, now.Age-s.Now.Age) // ms: what waited then waits still, or a newer snapshot would say so
	st := &Status{
		Version: Version(), Time: time.UnixMilli(now.Wall), UptimeSeconds: time.Since(p.opened).Seconds(),
		Accepted: c.Accepted, Acked: c.Acked, Pending: c.Pending(), DeadLettered: c.DeadLettered, Expired: c.Expired, Lost: c.Lost,
		DamagedFiles: s.Store.DamagedFiles,
		SpoolPath:    p.cfg.SpoolPath, SpoolBytes: s.Store.Bytes, SpoolLimitBytes: s.Store.Limit, SpoolDiskBytes: s.Store.DiskBytes, DiskFreeBytes: s.Store.FreeBytes,
		DeadLetters: s.Store.DeadLetters, SpoolFull: s.Store.Full, Segments: s.Store.Segments, OldestAgeSeconds: grown(s.OldestAge, since), IdempotencyKeys: s.Store.Keys,
		Link: "down", LinkError: s.Core.LinkErr, ForeignCluster: s.Core.Foreign, Brokers: s.Core.Brokers, ClusterID: s.Core.ClusterID,
		Producer: identityText(s.Core.Producer), Retries: s.Core.Retries,
		State: "running", Topics: make([]TopicStatus, 0, len(s.Core.Topics)),
	}
	st.transaction(s.Core.Transaction)
	st.Certificates = expiringOf(p.keeper, p.env.Now())
	switch {
	case s.Core.LinkUp:
		st.Link = "up"
	case st.LinkError == "" && s.Tried != nil: // the other bootstrap servers are still being tried
		st.LinkError = s.Tried.Error()
	}
	if s.Core.LinkSince >= 0 {
		st.LinkSinceSeconds = float64(now.Age-s.Core.LinkSince) / 1000
	}
	if free, ok := bolt.Free(p.engines.now.Load().store); ok {
		st.DiskFreeBytes = free
	}
	st.RequestsInFlight = s.InFlight
	st.CommitSeconds = p.engines.now.Load().store.Stats().Committing.Seconds()
	st.SendersWaiting, st.SendWaitSeconds = int(p.meter.waiting.Load()), time.Duration(p.meter.waited.Load()).Seconds()
	if s.Metadata >= 0 {
		st.MetadataAgeSeconds = float64(now.Age-s.Metadata) / 1000
	}
	select {
	case <-p.life.quit:
		st.State = "closing"
	default:
	}
	select {
	case <-p.life.done:
		st.State = "stopped"
	default:
	}
	if err := p.Err(); err != nil {
		st.Error = err.Error()
	}
	known := make([]bool, len(s.Lanes))
	for i := range s.Core.Topics {
		t := &s.Core.Topics[i]
		if int(t.Lane) < len(s.Lanes) { // else another commit is on its way: it is reported with its counters
			known[t.Lane] = true
			st.Topics = append(st.Topics, topicStatus(t, s, since))
		}
	}
	for i := range s.Lanes {
		if !known[i] { // a commit ago nobody knew of it
			t := sender.TopicStatus{Lane: spool.LaneID(i), Topic: s.Lanes[i].Topic, State: "waiting"}
			st.Topics = append(st.Topics, topicStatus(&t, s, since))
		}
	}
	st.finish(s.Store.Gaps)
	st.quotaStatus(p.engines.now.Load().store.Quotas())
	return st
}

// finish sorts the topics, and gives each its gaps.
func (st *Status) finish(gaps []bolt.Gap) {
	slices.SortFunc(st.Topics, func(a, b TopicStatus) int { return strings.Compare(a.Topic, b.Topic) })
	if len(gaps) == 0 {
		return
	}
	all := gapsOf(gaps)
	for i := range st.Topics {
		t := &st.Topics[i]
		for _, g := range all {
			if g.Topic == t.Topic {
				t.Gaps = append(t.Gaps, g)
			}
		}
	}
}

// topicStatus puts together what the sender has of a topic and what the spool has counted.
func topicStatus(t *sender.TopicStatus, s *loop.Snapshot, since int64) TopicStatus {
	ts := TopicStatus{Topic: t.Topic, State: t.State, Detail: t.Detail, Trouble: t.Trouble, PartitionCount: t.PartitionCount,
		Partitions: make([]PartitionStatus, 0, len(t.Partitions))}
	ts.count(s.Lanes[t.Lane].Counters)
	ts.DeadLetters = s.Lanes[t.Lane].Dead
	if ts.Pending > 0 && int(t.Lane) < len(s.Ages) {
		ts.OldestAgeSeconds = grown(s.Ages[t.Lane], since)
	}
	if ts.Pending > 0 && ts.State == "idle" {
		ts.State = "delivering" // all acked, and the acks are on their way to the disk
	}
	if !t.TopicID.IsZero() {
		ts.TopicID = t.TopicID.String()
	}
	for i := range t.Partitions {
		q := &t.Partitions[i]
		ts.Partitions = append(ts.Partitions, PartitionStatus{
			Partition: q.Partition, Leader: q.Leader, State: q.State, InFlight: q.InFlight, InDoubt: q.InDoubt,
			LastOffset: int64(q.LastOffset), Producer: identityText(q.Identity),
			ParkReason: q.Park.Reason, ParkedAt: q.Park.At, Detail: firstOf(q.Park.Detail, q.Detail), MayAsk: q.MayAsk,
		})
	}
	return ts
}

// grown is an age of a snapshot, in ms, as it is since ms later, in seconds. 0 is no age.
func grown(age, since int64) float64 {
	if age == 0 {
		return 0
	}
	return float64(age+since) / 1000
}

// count fills in the counters.
func (ts *TopicStatus) count(c spool.Counters) {
	ts.Accepted, ts.Acked, ts.Pending, ts.DeadLettered, ts.Expired, ts.Lost = c.Accepted, c.Acked, c.Pending(), c.DeadLettered, c.Expired, c.Lost
}

func identityText(id protocol.ProducerIdentity) string {
	if !id.Valid() {
		return ""
	}
	return id.String()
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
