package cluster

import (
	"errors"
	"fmt"
)

// ForeignClusterError says that the cluster is not the one this spool is bound to.
type ForeignClusterError struct{ Bound, Found string }

func (e *ForeignClusterError) Error() string {
	return fmt.Sprintf("this spool belongs to cluster %s, but the brokers are of cluster %s: check bootstrap.servers, or use another spool.path; nothing was sent", e.Bound, e.Found)
}

// Link is whether the cluster can be reached at all.
type Link struct {
	Up      bool
	Since   int64 // Age; -1: nothing known yet, in which case View.Link has the Age of the first call
	Err     string
	Foreign string // id of the cluster that the brokers are of, where the link is down for that
}

// Link says whether the cluster can be reached. Before the first answer it is down since the first call, without an Err.
func (v *View) Link() Link {
	l := v.link
	if l.Since < 0 {
		l.Since = v.began
	}
	return l
}

// linkIs notes whether the cluster answers, and says so when that changes, or the reason why it does not.
func (v *View) linkIs(up bool, err error) {
	now := Link{Up: up, Since: v.now}
	if !up {
		now.Err = ErrText(err)
	}
	if foreign := (*ForeignClusterError)(nil); errors.As(err, &foreign) {
		now.Foreign = foreign.Found
	}
	was := v.link
	if was.Up == up { // down from the first call on, if nothing answered yet
		now.Since = v.Link().Since
	}
	v.link = now
	if was.Up != up || was.Since < 0 || was.Err != now.Err {
		v.change(Change{Kind: LinkChanged, Up: up, Text: now.Err})
	}
}

func (v *View) onConnect(id int32, a Answer) {
	b := v.Broker(id)
	if b == nil {
		return
	}
	b.connecting = false
	if a.Err != nil {
		b.attempts++
		b.err = ErrText(a.Err)
		b.retryAt = v.now + v.cfg.Backoff.After(b.attempts)
		v.wake(b.retryAt)
		v.meta.want = true // its address may have changed, or its partitions have moved
		if v.Connected() == 0 {
			v.linkIs(false, a.Err)
		}
		return
	}
	b.Up, b.attempts, b.err, b.failed = true, 0, "", false
	b.connection++
	b.InFlight, b.throttled = 0, 0
	v.linkIs(true, nil)
}

// Disconnected says that the connection to a broker is gone. All its requests have been answered before.
func (v *View) Disconnected(id int32, err error) {
	b := v.Broker(id)
	if b == nil || !b.Up {
		return
	}
	b.Up, b.InFlight = false, 0
	b.err = ErrText(err)
	// An idle connection that somebody closed says nothing about the link; asking for metadata does.
	v.meta.want = true
	if b.failed && v.Connected() == 0 {
		v.linkIs(false, err)
	}
}

// reconnect tries the brokers that could not be reached again while the link is down for that, even if
// no record waits for them: only a connection brings the link up again.
func (v *View) reconnect() {
	if v.link.Up || v.unreachable() == "" {
		return
	}
	for _, b := range v.brokers {
		if b.listed && b.attempts > 0 {
			v.Connect(b)
		}
	}
}
