package spoold

import (
	"time"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Inspect reads the spool at path without a Producer: nothing is changed, and no cluster is
// needed. SpoolLimitBytes is 0: the limit is the configuration's, not the spool's. Ages are counted from the
// records' timestamps, unless spool.max.age is set, and are never more than the spool's own. A *LockedError: a
// process has it, which can report more (Producer.Status). Otherwise the errors are those of Open.
func Inspect(path string) (*Status, error) {
	in, err := bolt.Look(path)
	if err != nil {
		return nil, public(err)
	}
	defer in.Close()
	use, err := in.Use()
	if err != nil {
		return nil, public(err)
	}
	rec, stats := in.Recovered, in.Stats
	c := &rec.Counters
	st := &Status{
		Version: Version(), Time: time.Now(),
		DeadLetters: stats.DeadLetters,
		Accepted:    c.Accepted, Acked: c.Acked, Pending: c.Pending(), DeadLettered: c.DeadLettered, Expired: c.Expired, Lost: c.Lost,
		DamagedFiles: stats.DamagedFiles,
		SpoolPath:    path, SpoolBytes: stats.Bytes, SpoolLimitBytes: stats.Limit, SpoolDiskBytes: stats.DiskBytes, DiskFreeBytes: stats.FreeBytes,
		Segments: stats.Segments, IdempotencyKeys: stats.Keys,
		Link: "down", ClusterID: rec.ClusterID, State: "stopped", Error: rec.Stopped,
		Topics: make([]TopicStatus, 0, len(rec.Lanes)),
	}
	st.offlineTransaction(&rec.Transaction)
	for i := range rec.Lanes {
		ts := offlineTopic(&rec.Lanes[i], rec)
		if ts.Pending > 0 {
			ts.Bytes = use[i].Bytes
			ts.OldestAgeSeconds = use[i].Waited.Seconds()
			st.OldestAgeSeconds = max(st.OldestAgeSeconds, ts.OldestAgeSeconds)
		}
		st.Topics = append(st.Topics, ts)
	}
	st.finish(stats.Gaps)
	return st, nil
}

// Preflight gives the error with which Open would refuse the spool of a configuration, as far as that is seen without a change: it
// was made elsewhere, is damaged, of a newer version, or the disk is too small. Where there is no spool yet, only the size of the disk is
// looked at. A *LockedError: a process has it. It blocks on the disk; any goroutine may call it.
func Preflight(cfg *Config) error {
	return public(bolt.Preflight(bolt.Options{
		Path: cfg.SpoolPath, SegmentBytes: cfg.segmentBytes(), GroupBytes: int(cfg.groupBytes()), MaxBytes: cfg.SpoolMaxBytes,
		MinFreeBytes: minFree(cfg.SpoolMinFreeBytes), StopOnDamage: cfg.SpoolCorrupt == "stop",
	}))
}

// offlineTopic is what is known of a lane with nobody to deliver it.
func offlineTopic(l *spool.Lane, rec *spool.Recovered) TopicStatus {
	ts := TopicStatus{Topic: l.Topic, State: "idle", Partitions: []PartitionStatus{}}
	ts.count(l.Counters)
	ts.DeadLetters = l.DeadLetters
	if !l.TopicID.IsZero() {
		ts.TopicID = l.TopicID.String()
	}
	if ts.Pending > 0 {
		ts.State = "waiting"
	}
	for i := range rec.Partitions {
		p := &rec.Partitions[i]
		if p.Lane != l.ID {
			continue
		}
		ps := PartitionStatus{
			Partition: p.Partition, Leader: -1, State: "waiting", LastOffset: int64(p.LastOffset), Producer: identityText(p.Identity),
			ParkReason: p.Park.Reason, ParkedAt: p.Park.At, Detail: p.Park.Detail, MayAsk: true,
		}
		if p.Park.Parked() {
			ps.State, ts.State = "parked", "parked"
		}
		for j := range rec.Seals {
			if s := &rec.Seals[j]; s.Lane == l.ID && s.Partition == p.Partition {
				ps.InFlight++
				ps.InDoubt += int(s.Count)
			}
		}
		ts.Partitions = append(ts.Partitions, ps)
	}
	return ts
}
