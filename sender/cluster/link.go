package cluster

// Link is whether the cluster can be reached at all.
type Link struct {
	Up    bool
	Since int64 // Age; -1: nothing known yet
	Err   string
}

// Link says whether the cluster can be reached.
func (v *View) Link() Link { return v.link }

// linkIs notes whether the cluster answers, and says so when that changes, or the reason why it does not.
func (v *View) linkIs(up bool, err string) {
	if v.link.Up == up && v.link.Since >= 0 {
		if v.link.Err != err {
			v.link.Err = err
			v.change(Change{Kind: LinkChanged, Up: up, Text: err})
		}
		return
	}
	v.link = Link{Up: up, Since: v.now, Err: err}
	v.change(Change{Kind: LinkChanged, Up: up, Text: err})
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
			v.linkIs(false, b.err)
		}
		return
	}
	b.Up, b.attempts, b.err, b.failed = true, 0, "", false
	b.connection++
	b.InFlight, b.throttled = 0, 0
	v.linkIs(true, "")
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
		v.linkIs(false, b.err)
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
