package spoold

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Env is what the program supplies, as opposed to what an operator says (Config).
// The zero value is the real world.
type Env struct {
	// Now is the wall clock: timestamps of records that carry none. nil: time.Now.
	Now func() time.Time
	// Dial opens connections to brokers. nil: a net.Dialer with the buffer
	// sizes of the configuration.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// SASL is a mechanism of the program's own, in place of sasl.mechanism. security.protocol must begin with SASL. nil: none.
	SASL Mechanism
	// Seed makes jitter and the choice of sticky partitions repeatable. 0: random.
	Seed uint64
	// Logger gets one line per change of state. nil: nothing is logged.
	Logger *slog.Logger
	// Hooks are called for what happens.
	Hooks Hooks
	// Interceptors see every record that is sent, and its acknowledgement. Open takes
	// them over: it closes them if it fails, and Producer.Close does otherwise. With interceptors, Send
	// counts against callbacks.max as SendFunc does.
	Interceptors []Interceptor
	// Partitioner chooses the partition of records that name none. Open takes it over as it does interceptors. nil: partitioner.class does.
	Partitioner Partitioner
	// Tracer follows records. nil: nobody does.
	Tracer Tracer
	// AdoptSpool takes over a spool that was moved here on purpose from another
	// machine or directory. It is recorded in the spool.
	AdoptSpool bool
	// CheckCluster stops the Producer with a *ForeignClusterError when the first cluster that it reaches is another one
	// than the spool belongs to. Without it that is an outage: nothing is sent there, records are taken, and other addresses are tried.
	CheckCluster bool
}
