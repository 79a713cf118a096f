package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
)

func (l *Loop) dialConn(ctx context.Context, addr string, timeout time.Duration) (wire, error) {
	c, err := conn.Dial(ctx, conn.Options{
		Addr: addr, ClientID: l.opt.ClientID, SoftwareVersion: l.opt.Version,
		Dial: l.opt.Dial, RequestTimeout: timeout, Security: l.opt.Security,
	})
	if err != nil {
		return nil, err // not c: a nil *Conn is not a nil wire
	}
	if err := l.checkCluster(ctx, c, timeout); err != nil {
		c.Close(err)
		return nil, err
	}
	return c, nil
}

// checkCluster asks a new connection which cluster it leads to, before anything else is sent there: what listens at an address may be
// a broker of another cluster by now, and take the records of a topic with the same name.
func (l *Loop) checkCluster(ctx context.Context, c *conn.Conn, timeout time.Duration) error {
	bound := l.clusterID.Load()
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
func (l *Loop) bindCluster(id string) {
	if id != "" {
		l.clusterID.Store(&id)
	}
}
