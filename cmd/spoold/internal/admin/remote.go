package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/spoold/spoold"
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
		Transport:     &http.Transport{TLSClientConfig: c, ResponseHeaderTimeout: changeTime, Proxy: http.ProxyFromEnvironment},
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
		return res, ended(req, inner(err))
	}
	to, err := req.URL.Parse(r.url)
	if err != nil {
		return nil, err
	}
	req.URL.Scheme, req.URL.Host, req.Host = to.Scheme, to.Host, to.Host
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	client := *r.client
	client.Timeout = local.Timeout
	res, err := client.Do(req)
	if err != nil {
		return nil, notReached(to, inner(err))
	}
	return res, nil
}

// ErrEnded: the daemon was asked, and ended, or was killed, before it answered.
var ErrEnded = errors.New("the daemon ended before it answered")

// ErrSilent: the daemon was asked, and did not answer in time.
var ErrSilent = errors.New("the daemon has not answered: it is stopped, or its disk hangs; SIGUSR1 has it write its state to its log")

// ended says of a connection that broke, or has no answer, what that means.
func ended(req *http.Request, err error) error {
	var late net.Error
	if errors.As(err, &late) && late.Timeout() && req.Context().Err() == nil {
		return fmt.Errorf("%w (%s)", ErrSilent, unknown(req))
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return fmt.Errorf("%w: %s", ErrEnded, unknown(req))
}

// changes reports whether a request may change something.
func changes(req *http.Request) bool {
	return req.Method != http.MethodGet && !strings.HasSuffix(req.URL.Path, "/ls") && !strings.HasSuffix(req.URL.Path, "/export")
}

// unknown is what to do where a request has no answer.
func unknown(req *http.Request) string {
	if !changes(req) {
		return "run the command again"
	}
	return "whether it did what was asked is not known; look, and run the command again where it did not"
}

// notReached says of an error what to do about it, and which exit code it means.
func notReached(to *url.URL, err error) error {
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	e := &RemoteError{Exit: spoold.ExitUnavailable, err: fmt.Errorf("--url: %s://%s: %w", to.Scheme, to.Host, err)}
	switch {
	case errors.Is(err, context.Canceled):
	case errors.As(err, &certificate):
		e.Exit, e.do = spoold.ExitConfig, "a daemon may run there, and was not asked: give --ca FILE with the authority that its certificate is from, and the host name that it is for"
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Exit, e.do = spoold.ExitUsage, "what listens there has no TLS: use http://"+to.Host
	case errors.Is(err, syscall.ECONNREFUSED):
		e.do = "nothing listens there: see admin.listen of the daemon, and whether it runs"
	default:
		e.do = "whether a daemon runs there is not known"
	}
	return e
}

// RemoteError says why a daemon at an address did not answer as one, with the exit code that it means.
type RemoteError struct {
	Exit int
	do   string
	err  error
}

func (e *RemoteError) Error() string {
	if e.do == "" {
		return e.err.Error()
	}
	return e.err.Error() + " (" + e.do + ")"
}

func (e *RemoteError) Unwrap() error { return e.err }

// maxFailure bounds the text of a failure that is read.
const maxFailure = 64 << 10

// failure is the error of an answer that is not 2xx.
func failure(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxFailure))
	var f Failure
	if err == nil && json.Unmarshal(text, &f) == nil && f.Message != "" {
		if f.Exit == 0 {
			f.Exit = spoold.ExitUnavailable
		}
		return &f
	}
	at := &url.URL{Scheme: res.Request.URL.Scheme, Host: res.Request.URL.Host}
	e := &RemoteError{Exit: spoold.ExitUnavailable, err: fmt.Errorf("the daemon answered %s", res.Status)}
	switch {
	case !isRemote(res.Request.Context()):
	case bytes.Contains(text, []byte("HTTP request to an HTTPS server")):
		e.Exit, e.err, e.do = spoold.ExitUsage, fmt.Errorf("--url: %s answers with TLS only", at), "use https://"+at.Host
	case res.StatusCode/100 != 5:
		return notDaemon(at, res.Status)
	}
	return e
}

// notDaemon says of an answer that it is of some other server.
func notDaemon(at *url.URL, what string) error {
	return &RemoteError{Exit: spoold.ExitUsage, err: fmt.Errorf("--url: %s://%s is not the admin listener of a spoold daemon: it answered %s", at.Scheme, at.Host, what), do: "see admin.listen of the daemon"}
}

// decoded is an error of reading an answer.
func decoded(res *http.Response, err error) error {
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax) && isRemote(res.Request.Context()):
		return notDaemon(res.Request.URL, "what is not JSON")
	}
	return &RemoteError{Exit: spoold.ExitUnavailable, err: fmt.Errorf("the daemon's answer ended early: %w", err)}
}

func isRemote(ctx context.Context) bool { return ctx.Value(remoteKey{}) != nil }

// inner is an error without the address that the client made up for it.
func inner(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
