package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// DialError says that no connection came about.
type DialError struct {
	Addr string
	Err  error
}

func (e *DialError) Error() string {
	check := "is this address right, in bootstrap.servers or in the broker's advertised.listeners, and reachable from this host?"
	var dns *net.DNSError
	switch {
	case errors.Is(e.Err, context.Canceled):
		return fmt.Sprintf("connect to %s: %v", e.Addr, e.Err)
	case errors.Is(e.Err, syscall.EMFILE) || errors.Is(e.Err, syscall.ENFILE):
		check = "this process may open no more files or connections: raise ulimit -n, or LimitNOFILE= in the unit"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		check = "nothing listens there: is the broker up, and the address right, in bootstrap.servers or in its advertised.listeners?"
	case errors.As(e.Err, &dns):
		check = "the name does not resolve here: is it right, in bootstrap.servers or in the broker's advertised.listeners?"
	case errors.Is(e.Err, os.ErrDeadlineExceeded) || isTimeout(e.Err):
		check = "nothing answers there: a firewall, or a host that is down?"
	}
	return fmt.Sprintf("connect to %s: %v (%s)", e.Addr, e.Err, check)
}

func (e *DialError) Unwrap() error { return e.Err }

// NotKafkaError says that something listens there, and does not speak Kafka.
type NotKafkaError struct {
	Addr string
	What string // what it did, and what to check
	Err  error
}

func (e *NotKafkaError) Error() string {
	s := fmt.Sprintf("%s is not a Kafka broker's listener: %s", e.Addr, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *NotKafkaError) Unwrap() error { return e.Err }

// LostError says that a connection that had worked broke, or did not answer in time.
type LostError struct {
	Addr  string
	Doing string
	After time.Duration // of the request that got no answer in time
	Hint  string        // what to check if the broker closed the connection
	Err   error
}

func (e *LostError) Error() string {
	switch {
	case errors.Is(e.Err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("broker %s: %s: timed out after %v, connection closed", e.Addr, e.Doing, e.After)
	case errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF):
		s := fmt.Sprintf("broker %s: %s: it closed the connection", e.Addr, e.Doing)
		if e.Hint != "" {
			s += ": " + e.Hint
		}
		return s
	}
	return fmt.Sprintf("broker %s: %s: %v", e.Addr, e.Doing, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// Timeout reports whether a request was not answered in time.
func (e *LostError) Timeout() bool { return errors.Is(e.Err, os.ErrDeadlineExceeded) }

// ProtocolError says that a broker broke the protocol. The connection was closed.
type ProtocolError struct {
	Addr string
	What string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("broker %s sent %s; is it a Kafka broker, with no proxy between?", e.Addr, e.What)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
