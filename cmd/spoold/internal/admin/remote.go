package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Remote is a daemon that is asked over its admin address instead of its socket.
type Remote struct {
	url           string
	authorization string // header; "": none
	client        *http.Client
}

// NewRemote is the daemon whose admin address is at url. c is nil for the system's authorities and no certificate of one's own.
func NewRemote(url, authorization string, c *tls.Config) *Remote {
	return &Remote{url, authorization, &http.Client{
		Transport:     &http.Transport{TLSClientConfig: c, ResponseHeaderTimeout: 30 * time.Second, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // credentials go to nobody else
	}}
}

type remoteKey struct{}

// With has clients that are called with the context ask r, whatever directory they are of.
func (r *Remote) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, remoteKey{}, r)
}

// send sends a request for a path of the daemon: to the remote of its context, or else over the socket that local dials.
func send(req *http.Request, local *http.Client) (*http.Response, error) {
	r, _ := req.Context().Value(remoteKey{}).(*Remote)
	if r == nil {
		res, err := local.Do(req)
		return res, inner(err)
	}
	to, err := req.URL.Parse(r.url)
	if err != nil {
		return nil, err
	}
	req.URL.Scheme, req.URL.Host, req.Host = to.Scheme, to.Host, to.Host
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.url, inner(err))
	}
	return res, nil
}

// inner is an error without the address that the client made up for it.
func inner(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
