package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spoold/spoold"
)

// Client asks the daemon that has a spool, over its socket, or the Remote of the context.
type Client struct{ http http.Client }

// A question is answered in askTime or not at all. A change of many records takes longer.
const (
	askTime    = 30 * time.Second
	changeTime = time.Hour
)

// NewClient is a client of the daemon on dir, if one runs.
func NewClient(dir string) *Client {
	return &Client{http.Client{
		Timeout: askTime,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return DialUnix(ctx, dir)
		}},
	}}
}

// Close ends the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the daemon's state and process id. ErrNoDaemon: nobody listens.
func (c *Client) Status(ctx context.Context) (*spoold.Status, int, error) {
	var s spoold.Status
	pid, err := c.do(ctx, http.MethodGet, "/api/status", nil, &s)
	return &s, pid, err
}

// maxMetrics bounds what Metrics reads.
const maxMetrics = 64 << 20

// Metrics asks for what Prometheus would read.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://spoold/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := send(req, &c.http)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, failure(res)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxMetrics))
}

// Resolve passes an operator's decision on.
func (c *Client) Resolve(ctx context.Context, req ResolveRequest) (spoold.Resolution, error) {
	var r spoold.Resolution
	body, err := json.Marshal(req)
	if err != nil {
		return r, err
	}
	_, err = c.do(ctx, http.MethodPost, "/api/resolve", body, &r)
	return r, err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) (pid int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://spoold"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	client := c.http
	if changes(req) {
		if err := c.awake(ctx); errors.Is(err, ErrSilent) {
			return 0, err // and nothing was asked for; another error will come again
		}
		client.Timeout = changeTime
	}
	res, err := send(req, &client)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	pid, _ = strconv.Atoi(res.Header.Get(PIDHeader))
	if res.StatusCode/100 != 2 {
		return pid, failure(res)
	}
	return pid, decoded(res, json.NewDecoder(res.Body).Decode(into))
}

// awake finds out whether the daemon answers at all: one that hangs must not be waited for as long as a change may take.
func (c *Client) awake(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://spoold/healthz", nil)
	if err != nil {
		return err
	}
	res, err := send(req, &c.http)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxFailure))
	return errors.Join(err, res.Body.Close())
}
