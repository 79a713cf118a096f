package spoold

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// dialer opens connections to brokers. It tries all addresses of a name (client.dns.lookup=use_all_dns_ips): each time it begins
// with the one after that which was connected to last, because what is behind an address may take connections and be of no use;
// addresses that did not take the last one come last.
type dialer struct {
	connect func(ctx context.Context, network, addr string) (net.Conn, error)
	lookup  func(ctx context.Context, host string) ([]string, error)

	mu    sync.Mutex
	last  map[string]string // by name: the address that was connected to last
	fails map[string]bool   // by address: the last attempt failed
}

// newDialer sets the socket buffers; -1 leaves them to the system.
func newDialer(send, receive int64) *dialer {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		ctlErr := raw.Control(func(fd uintptr) {
			if send > 0 {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, int(send))
			}
			if receive > 0 && err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, int(receive))
			}
		})
		if ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	return &dialer{connect: d.DialContext, lookup: net.DefaultResolver.LookupHost, last: make(map[string]string), fails: make(map[string]bool)}
}

// leastShare is the least time that one of several addresses gets.
const leastShare = time.Second

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || net.ParseIP(host) != nil {
		return d.connect(ctx, network, addr)
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	addrs = d.order(host, addrs)
	for i, one := range addrs {
		share, cancel := shareOf(ctx, len(addrs)-i)
		var c net.Conn
		c, err = d.connect(share, network, net.JoinHostPort(one, port))
		cancel()
		d.note(host, one, err != nil)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// shareOf is ctx with the time that one of n addresses may take.
func shareOf(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n < 2 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(n), leastShare))
}

// order is the order in which the addresses of a name are tried.
func (d *dialer) order(host string, addrs []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(addrs, d.last[host]); i >= 0 {
		addrs = slices.Concat(addrs[i+1:], addrs[:i+1])
	}
	slices.SortStableFunc(addrs, func(a, b string) int {
		switch {
		case d.fails[a] == d.fails[b]:
			return 0
		case d.fails[b]:
			return -1
		}
		return 1
	})
	return addrs
}

func (d *dialer) note(host, addr string, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if failed {
		if len(d.fails) > 1000 { // names that lead somewhere else each time
			clear(d.fails)
		}
		d.fails[addr] = true
		return
	}
	delete(d.fails, addr)
	d.last[host] = addr
}
