package loop

import (
	"context"
	"time"

	"github.com/spoold/spoold/protocol/conn"
)

func (l *Loop) dialConn(ctx context.Context, addr string, timeout time.Duration) (wire, error) {
	c, err := conn.Dial(ctx, conn.Options{
		Addr: addr, ClientID: l.opt.ClientID, SoftwareVersion: l.opt.Version,
		Dial: l.opt.Dial, RequestTimeout: timeout, Security: l.opt.Security,
	})
	if err != nil {
		return nil, err // not c: a nil *Conn is not a nil wire
	}
	return c, nil
}
