package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoold/spoold/cmd/spoold/internal/devbroker"
	"github.com/spoold/spoold/cmd/spoold/internal/link"
)

// Options of a run.
type Options struct {
	Records   int
	Kills     int
	Seed      uint64
	Keep      bool     // leave the directory
	Bootstrap []string // a real cluster; empty: an embedded broker
	Exe       string   // this program: the child runs `Exe serve`
	Out       io.Writer
	// TransactionalID: each request is a transaction of two records under two keys; "": of one record.
	TransactionalID string
}

// Result is what was counted.
type Result struct {
	Records    int `json:"records"`
	Kills      int `json:"kills"`
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`
	Reordered  int `json:"reordered"`
	// HalfVisible are transactions of which a reader sees one record and not the other; nil: there are none.
	HalfVisible *int    `json:"half_visible,omitempty"`
	Seconds     float64 `json:"seconds"`
}

// OK reports whether nothing was lost, duplicated, reordered or half visible.
func (r Result) OK() bool {
	return r.Lost == 0 && r.Duplicated == 0 && r.Reordered == 0 && (r.HalfVisible == nil || *r.HalfVisible == 0)
}

const (
	partitions = 3
	clients    = 128
	// drainTimeout is how long the backlog may take once the link is up. Then the
	// topic is read back all the same, and what is missing counts as lost.
	drainTimeout = 60 * time.Second
)

// play is one run.
type play struct {
	o      Options
	begin  time.Time
	rng    *rand.Rand
	dir    string
	topic  string
	broker []string
	link   *link.Link
	child  *child
	ledger *ledger
	kills  int
	// took is how long it was until everything was drained: reading back is not spoold's time.
	took float64
}

// Run plays it all and counts.
func Run(ctx context.Context, o Options) (res Result, err error) {
	p := &play{o: o, begin: time.Now(), rng: rand.New(rand.NewPCG(o.Seed, 0x5f001d))}
	if p.dir, err = os.MkdirTemp("", "spoold-demo-"); err != nil {
		return res, err
	}
	if o.Keep {
		defer func() { fmt.Fprintf(o.Out, " kept: %s\n", p.dir) }()
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	}
	stop, err := p.openCluster(ctx)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if p.link, err = link.Open(ctx); err != nil {
		return res, err
	}
	defer p.link.Close()
	defer func() { p.child.kill() }()

	p.ledger = newLedger(p.topic, clients, o.Seed)
	p.ledger.pairs = o.TransactionalID != ""
	if p.ledger.pairs && len(o.Bootstrap) > 0 {
		// A cluster remembers which spool an id belongs to, and this one is gone after the run.
		p.o.TransactionalID = fmt.Sprintf("%s-%08x", o.TransactionalID, rand.Uint32())
	}
	defer p.ledger.close()
	if err := p.perform(ctx); err != nil {
		return res, err
	}
	res = Result{Records: o.Records, Kills: p.kills, Seconds: float64(int(p.took*10)) / 10}
	if err := readBack(ctx, p.broker, p.topic, p.ledger, &res); err != nil {
		return res, err
	}
	verdict := "OK"
	if !res.OK() {
		verdict = "FAILED"
	}
	half := ""
	if res.HalfVisible != nil {
		half = fmt.Sprintf("   half visible %d", *res.HalfVisible)
	}
	fmt.Fprintf(o.Out, " read back: lost %d   duplicated %d   out of order %d%s       %s\n", res.Lost, res.Duplicated, res.Reordered, half, verdict)
	return res, nil
}

// openCluster starts the embedded broker, or makes a fresh topic on a real cluster.
func (p *play) openCluster(ctx context.Context) (stop func() error, err error) {
	if len(p.o.Bootstrap) > 0 {
		p.broker = p.o.Bootstrap
		p.topic = fmt.Sprintf("spoold-demo-%08x", rand.Uint32())
		stop, err = makeTopic(ctx, p.broker, p.topic)
		if err == nil {
			p.say("broker", "%s, topic %s (%d partitions)", p.broker[0], p.topic, partitions)
		}
		return stop, err
	}
	p.topic = "demo"
	b, err := devbroker.Start(devbroker.Options{Partitions: partitions, Topics: []string{p.topic}})
	if err != nil {
		return nil, err
	}
	p.broker = []string{b.Addr()}
	p.say("broker", "embedded development broker on %s (%d partitions)", b.Addr(), partitions)
	return func() error { b.Close(); return nil }, nil
}

// perform is the story, in the order in which it is printed.
func (p *play) perform(ctx context.Context) error {
	third := p.o.Records / 3
	if err := p.start(ctx); err != nil {
		return err
	}
	if err := p.produce(ctx, third, 0); err != nil {
		return err
	}
	s, err := p.child.await(ctx, drainTimeout, func(s status) bool { return s.Pending == 0 })
	if err != nil {
		return err
	}
	p.say("produce", "%-27s  accepted %-6s  acked %s", comma(third)+" records", comma(s.Accepted), comma(s.Acked))

	p.say("link DOWN", "cutting the network to the broker")
	p.link.Cut()
	if err := p.produce(ctx, third, 0); err != nil {
		return err
	}
	if s, err = p.child.status(ctx); err != nil {
		return err
	}
	p.say("produce", "%-27s  accepted %-6s  acked %-6s  pending %s", comma(third)+" records", comma(s.Accepted), comma(s.Acked), comma(s.Pending))

	if err := p.killAndGoOn(ctx, p.o.Records-2*third); err != nil {
		return err
	}
	s, err = p.child.await(ctx, drainTimeout, func(s status) bool { return s.Pending == 0 })
	p.took = time.Since(p.begin).Seconds()
	if err != nil {
		return err
	}
	if s.Pending > 0 {
		p.say("stuck", "%s records still pending after %v; see %s", comma(s.Pending), drainTimeout, p.child.logPath)
		p.o.Keep = true
	} else {
		p.say("drained", "accepted %-6s  acked %s", comma(s.Accepted), comma(s.Acked))
	}
	return p.child.stop(ctx)
}

// killAndGoOn produces n records in as many parts as there are kills. The first
// kill meets a link that is down; the later ones meet one that is up, with
// batches on the wire.
func (p *play) killAndGoOn(ctx context.Context, n int) error {
	parts := max(p.o.Kills, 1)
	for part := range parts {
		share := n / parts
		if part == parts-1 {
			share = n - (parts-1)*(n/parts)
		}
		if p.o.Kills > 0 {
			fresh, err := p.killWhileWriting(ctx, share)
			if err != nil {
				return err
			}
			share -= fresh
		}
		retried := p.ledger.open()
		fresh := share
		if err := p.produce(ctx, fresh, 0); err != nil {
			return err
		}
		s, err := p.child.status(ctx)
		if err != nil {
			return err
		}
		p.say("produce", "%-27s  accepted %-6s  pending %s", fmt.Sprintf("%s retried + %s new", comma(retried), comma(fresh)), comma(s.Accepted), comma(s.Pending))
		if part == 0 {
			p.link.Mend()
			p.say("link UP", "draining")
		}
	}
	return nil
}

// killWhileWriting kills the child when some of share records are answered and
// others are not, and starts it again. It returns how many were begun.
func (p *play) killWhileWriting(ctx context.Context, share int) (begun int, err error) {
	before := p.ledger.begun()
	at := 1 + p.rng.IntN(max(share/4, 1))
	if err := p.produce(ctx, share, at); err != nil {
		return 0, err
	}
	p.kills++
	p.say("kill -9", "spoold process %d killed while writing; %s sends not answered", p.child.pid(), comma(p.ledger.open()))
	if err := p.start(ctx); err != nil {
		return 0, err
	}
	p.say("restart", "spool recovered in %d ms: %s records pending", p.child.ready.OpenMS, comma(int(p.child.ready.Pending)))
	return p.ledger.begun() - before, nil
}

// produce sends n new records, after those that are still unanswered. With killAt, the
// child is killed as soon as so many were answered, and the rest stays as it is.
func (p *play) produce(ctx context.Context, n, killAt int) error {
	var kill func()
	if killAt > 0 {
		kill = p.child.kill
	}
	per := p.ledger.perRequest()
	return p.ledger.send(ctx, p.child.url, n/per, (killAt+per-1)/per, kill)
}

func (p *play) start(ctx context.Context) (err error) {
	p.child, err = startChild(ctx, p.o.Exe, filepath.Join(p.dir, "spool"), filepath.Join(p.dir, "daemon.log"), p.broker, p.link.Addr(), p.o.TransactionalID)
	return err
}

func (p *play) say(what, format string, args ...any) {
	fmt.Fprintf(p.o.Out, "%4.1fs  %-9s  %s\n", time.Since(p.begin).Seconds(), what, fmt.Sprintf(format, args...))
}

func comma(n int) string { return humanize.Comma(int64(n)) }
