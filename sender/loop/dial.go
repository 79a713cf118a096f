package loop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
)

// dial opens a connection on a goroutine of its own: the first of addrs that takes it.
func (ls *links) dial(k *link, addrs []string) {
	p := ls.pace(k.broker)
	wait := max(0, p.notUntil-ls.now.Age)
	timeout := ls.connectTimeout(p.failures)
	refused, stamp := p.refused > 0, p.stamp
	ls.dialers.Go(func() {
		var c wire
		var err error
		if refused {
			err = ls.sleepUntilChange(wait, stamp)
		} else {
			err = sleep(ls.ctx, wait)
		}
		var faults dialFaults
		for i := 0; err == nil && c == nil && i < len(addrs); i++ {
			var fault error
			if c, fault = ls.opt.dial(ls.ctx, addrs[i], timeout); fault != nil {
				c = nil
				faults = append(faults, fault)
				so := faults.all()
				if i == len(addrs)-1 || ls.ctx.Err() != nil {
					err = so
				} else {
					ls.inbox.post(func() { ls.tried = so })
				}
			}
		}
		if c == nil {
			ls.inbox.post(func() { ls.connected(k, nil, err) })
			return
		}
		// From here on the dialer watches over the connection.
		stop := context.AfterFunc(ls.ctx, func() { c.Close(ErrOver) })
		ls.inbox.post(func() { ls.connected(k, c, nil) })
		<-c.Done()
		stop()
		ls.inbox.post(func() { ls.lost(k) })
	})
}

func (ls *links) stamp() uint64 {
	if ls.opt.Stamp == nil {
		return 0
	}
	return ls.opt.Stamp()
}

// sleepUntilChange waits so many ms, or until what connections are protected with is not what it was.
func (ls *links) sleepUntilChange(ms int64, stamp uint64) error {
	for step := stampEvery.Milliseconds(); ms > 0 && ls.stamp() == stamp; ms -= step {
		if err := sleep(ls.ctx, min(ms, step)); err != nil {
			return err
		}
	}
	return ls.ctx.Err()
}

// dialFaults are why addresses that were tried one after the other could not be connected to.
type dialFaults []error

func (f dialFaults) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (f dialFaults) Unwrap() []error { return f }

// all is the one fault, or all of them in one line.
func (f dialFaults) all() error {
	if len(f) == 1 {
		return f[0]
	}
	return slices.Clone(f)
}

func (ls *links) dialConn(ctx context.Context, addr string, timeout time.Duration) (wire, error) {
	c, err := conn.Dial(ctx, conn.Options{
		Addr: addr, ClientID: ls.opt.ClientID, SoftwareVersion: ls.opt.Version,
		Dial: ls.opt.Dial, RequestTimeout: timeout, Security: ls.opt.Security,
	})
	if err != nil {
		return nil, err // not c: a nil *Conn is not a nil wire
	}
	if err := ls.checkCluster(ctx, c, timeout); err != nil {
		c.Close(err)
		return nil, err
	}
	return c, nil
}

// checkCluster asks a new connection which cluster it leads to, before anything else is sent there: what listens at an address may be
// a broker of another cluster by now, and take the records of a topic with the same name.
func (ls *links) checkCluster(ctx context.Context, c *conn.Conn, timeout time.Duration) error {
	bound := ls.clusterID.Load()
	if bound == nil {
		return nil // the first answer to Metadata binds the spool
	}
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{} // of none
	version, ok := c.Version(r.Key(), -1)
	if !ok {
		return nil
	}
	r.SetVersion(version)
	type result struct {
		response kmsg.Response
		err      error
	}
	answered := make(chan result, 1)
	c.Do(r, timeout, func(response kmsg.Response, _ bool, err error) { answered <- result{response, err} })
	select {
	case a := <-answered:
		if a.err != nil {
			return a.err
		}
		if m, ok := a.response.(*kmsg.MetadataResponse); ok && m.ClusterID != nil && *m.ClusterID != *bound {
			return fmt.Errorf("%s: %w", c.Addr(), &sender.ForeignClusterError{Bound: *bound, Found: *m.ClusterID})
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// bindCluster notes the cluster that the spool belongs to; "": none yet.
func (ls *links) bindCluster(id string) {
	if id != "" {
		ls.clusterID.Store(&id)
	}
}

func sleep(ctx context.Context, ms int64) error {
	if ms <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
