package broker

import "slices"

// halt is what ends with the process: requests that wait and roles. What was known only in memory is written down before,
// if it ends in order.
func (r *replica) halt(inOrder bool) {
	r.waiting, r.fetching, r.watching = nil, false, false
	r.followers = nil
	if r.checkpoint(); inOrder {
		r.saved = r.start
		snapshots{r}.takeSnapshot()
	}
}

// checkpoint has saved be what it is by now (LogManager.checkpointLogStartOffsets).
func (r *replica) checkpoint() {
	every := r.node.c.cfg.Checkpoint
	if r.node.c.now()/every > r.raised/every {
		r.saved = r.start
	}
}

// load is a start (LogManager.loadLog, LogLoader): of each producer one batch is known, the last.
func (r *replica) load(inOrder bool) {
	if !inOrder {
		r.lowerStart(max(r.saved, r.floor))
		if r.hw > r.start { // written down every few seconds only (replication-offset-checkpoint)
			r.hw = r.start + r.node.c.within(r.hw-r.start)
		}
		snapshots{r}.recover()
	}
	snapshots{r}.reload()
	r.leader, r.truncate = noLeader, true
	// It leads again only when the controller says so anew.
}

// lowerStart finds records again whose deletion was not written down.
func (r *replica) lowerStart(to int64) {
	if to >= r.start {
		return
	}
	r.start = to
	k := len(r.deleted)
	for k > 0 && r.deleted[k-1].end() > to {
		k--
	}
	r.log = append(slices.Clone(r.deleted[k:]), r.log...)
	r.deleted = r.deleted[:k:k]
}

// cut removes what is at or above an offset (UnifiedLog.truncateTo).
func (r *replica) cut(to int64) {
	if to >= r.end() {
		return
	}
	r.node.c.logf("broker %d: %s-%d is cut from %d to %d", r.node.id, r.topic.name, r.number, r.end(), to)
	for len(r.log) > 0 && r.log[len(r.log)-1].end() > to {
		r.log = r.log[:len(r.log)-1]
	}
	r.hw = min(r.hw, r.end())
	snapshots{r}.reload()
}

// restart empties the log, to begin again at an offset (UnifiedLog.truncateFullyAndStartAt).
func (r *replica) restart(at int64) {
	r.node.c.logf("broker %d: %s-%d begins anew at %d", r.node.id, r.topic.name, r.number, at)
	r.log, r.deleted, r.snapshots = nil, nil, nil
	clear(r.producers)
	r.start, r.hw, r.floor, r.saved = at, at, at, at // truncation is written down at once
}

// raiseStart moves the log start (DeleteRecords, or a leader's that did). Producer state stays in memory.
func (r *replica) raiseStart(to int64) {
	if to <= r.start {
		return
	}
	r.checkpoint()
	stable := transactions{r}.stable()
	r.start, r.raised = to, r.node.c.now()
	k := 0
	for k < len(r.log) && r.log[k].end() <= to {
		k++
	}
	for i := range r.log[:k] {
		r.log[i].unread = r.log[i].transactional && r.log[i].offset >= stable
	}
	if r.leads() {
		r.node.c.archive.keep(r, k)
	}
	r.deleted = append(r.deleted, r.log[:k]...)
	r.log = slices.Clone(r.log[k:])
	r.hw = max(r.hw, r.start)
}

// retain deletes the files of what lies below an offset (UnifiedLog.deleteOldSegments).
func (r *replica) retain(floor int64) {
	if r.floor = max(r.floor, floor); len(r.deleted) > 0 {
		r.deleted = slices.DeleteFunc(r.deleted, func(e entry) bool { return e.end() <= r.floor })
	}
}
