package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/link"
)

// peer is a broker that answers each request with its correlation id and its body.
type peer struct {
	addr string
	mu   sync.Mutex
	got  []string // bodies, whole requests only
	torn int      // requests that ended in the middle
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &peer{addr: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *peer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for {
		var size [4]byte
		n, err := io.ReadFull(conn, size[:])
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if err == nil {
			var m int
			m, err = io.ReadFull(conn, body)
			n += m
		}
		p.mu.Lock()
		switch {
		case err == nil:
			p.got = append(p.got, string(body[8:]))
		case n > 0:
			p.torn++
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		answer := binary.BigEndian.AppendUint32(nil, uint32(len(body)-4))
		answer = append(answer, body[4:]...)
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (p *peer) seen() ([]string, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got), p.torn
}

// client is a connection through a link.
type client struct {
	t    *testing.T
	conn net.Conn
}

func dial(t *testing.T, p *link.Link) *client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn}
}

func (c *client) send(key int16, correlation int32, body string) {
	f := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	f = binary.BigEndian.AppendUint16(f, uint16(key))
	f = binary.BigEndian.AppendUint16(f, 9)
	f = binary.BigEndian.AppendUint32(f, uint32(correlation))
	if _, err := c.conn.Write(append(f, body...)); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer, for at most so long.
func (c *client) answer(patience time.Duration) (int32, string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return 0, "", err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return 0, "", err
	}
	return int32(binary.BigEndian.Uint32(body)), string(body[4:]), nil
}

// stage is a peer behind a link that always makes one fault, and what it logged.
type stage struct {
	peer *peer
	link *link.Link
	mu   sync.Mutex
	log  []link.Decision
}

func newStage(t *testing.T, m link.Mix, seed uint64) *stage {
	t.Helper()
	s := &stage{peer: newPeer(t)}
	var err error
	s.link, err = link.NewKafka(link.Options{Name: "p", Target: s.peer.addr, Seed: seed, Mix: m, Log: func(d link.Decision) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log = append(s.log, d)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.link.Close)
	return s
}

func always(f link.Fault) link.Mix {
	var m link.Mix
	m.Chance[f] = 1
	return m
}

func comes(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s never came to pass", what)
		}
	}
}

const long = 10 * time.Second

func TestWithoutFaultsEverythingPassesUnchangedAndInOrder(t *testing.T) {
	s := newStage(t, link.Mix{}, 1)
	c := dial(t, s.link)
	for i := range int32(50) {
		c.send(int16(i%20), i, "body")
	}
	for i := range int32(50) {
		if got, body, err := c.answer(long); err != nil || got != i || body != "body" {
			t.Fatalf("answer %d: correlation %d, %q, %v", i, got, body, err)
		}
	}
	if n := s.link.Counts(); n[link.Pass] != 50 || n.Total() != 0 {
		t.Errorf("counts: %v", n)
	}
}

func TestEachFaultBreaksWhatItsNameSays(t *testing.T) {
	tests := []struct {
		fault  link.Fault
		served int // how often the broker got the whole request
		torn   int
		ends   bool // the client's connection ends with no whole answer
	}{
		{link.DropRequest, 0, 0, true},
		{link.DropAnswer, 1, 0, true},
		{link.CutRequest, 0, 1, true},
		{link.CutAnswer, 1, 0, true},
		{link.Duplicate, 2, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			s := newStage(t, always(tt.fault), 3)
			c := dial(t, s.link)
			c.send(0, 7, "a body that is long enough to be cut")
			correlation, _, err := c.answer(long)
			if ended := err != nil && !errors.Is(err, syscall.ETIMEDOUT); ended != tt.ends {
				t.Errorf("answer %d, %v; ended %v, want %v", correlation, err, ended, tt.ends)
			}
			comes(t, "what the broker should see", func() bool {
				got, torn := s.peer.seen()
				return len(got) == tt.served && torn <= tt.torn
			})
			if n := s.link.Counts(); n[tt.fault] != 1 || n.Total() != 1 {
				t.Errorf("counts: %v", n)
			}
		})
	}
}

func TestADuplicatesSecondAnswerIsSwallowed(t *testing.T) {
	s := newStage(t, always(link.Duplicate), 1)
	c := dial(t, s.link)
	for i := range int32(10) {
		c.send(0, i, "x")
		if got, _, err := c.answer(long); err != nil || got != i {
			t.Fatalf("answer %d, want %d, %v", got, i, err)
		}
	}
}

func TestABlackHoleAnswersNothingAndClosesNothingUntilItHeals(t *testing.T) {
	s := newStage(t, always(link.Blackhole), 1)
	c := dial(t, s.link)
	c.send(0, 1, "x")
	var timeout net.Error
	if _, _, err := c.answer(50 * time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("a black hole says %v", err)
	}
	if err := s.link.Heal(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.answer(long); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("after the heal: %v, want a reset", err)
	}
	if got, _ := s.peer.seen(); len(got) != 0 {
		t.Errorf("the broker got %q", got)
	}
}

func TestAResetIsOne(t *testing.T) {
	s := newStage(t, always(link.Reset), 1)
	c := dial(t, s.link)
	c.send(0, 1, "x")
	for {
		_, _, err := c.answer(long)
		if errors.Is(err, syscall.ECONNRESET) {
			return
		}
		if err != nil {
			t.Fatalf("read says %v, want a reset", err)
		}
	}
}

func TestAHeldAnswerAndADelayedRequestArriveLateAndWhole(t *testing.T) {
	for _, f := range []link.Fault{link.HoldAnswer, link.DelayRequest} {
		m := always(f)
		m.Hold, m.Delay = 40*time.Millisecond, 40*time.Millisecond
		s := newStage(t, m, 1)
		c := dial(t, s.link)
		for i := range int32(5) {
			c.send(3, i, "late")
		}
		for i := range int32(5) {
			if got, body, err := c.answer(long); err != nil || got != i || body != "late" {
				t.Fatalf("%v: answer %d, %q, %v", f, got, body, err)
			}
		}
	}
}

// The request of a former connection arrives although nothing of it went through then,
// and only Produce requests walk.
func TestAZombieComesAfterItsConnectionOnItsOwn(t *testing.T) {
	m := always(link.DropRequest)
	m.Chance[link.Zombie], m.After = 1, 20*time.Millisecond
	s := newStage(t, m, 1)
	for i, key := range []int16{3, 0} {
		c := dial(t, s.link)
		c.send(key, int32(i), "from the grave")
		if _, _, err := c.answer(long); err == nil {
			t.Fatal("a dropped request was answered")
		}
	}
	comes(t, "the zombie", func() bool { return s.link.Counts()[link.Zombie] == 1 })
	if err := s.link.AwaitZombies(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.peer.seen(); len(got) != 1 || got[0] != "from the grave" {
		t.Errorf("the broker got %q", got)
	}
	if answers, err := s.link.ReplayAll(t.Context()); err != nil || len(answers) != 1 {
		t.Errorf("replay: %v, %v", answers, err)
	}
	if got, _ := s.peer.seen(); len(got) != 2 {
		t.Errorf("after the replay the broker got %q", got)
	}
}

// The same seed, connections and requests: the same decisions.
func TestTheSeedAloneDecides(t *testing.T) {
	fates := func(seed uint64) []string {
		m := link.Mix{Hold: time.Millisecond, Delay: time.Millisecond}
		for f := link.Pass + 1; f < link.Zombie; f++ {
			if f != link.Blackhole {
				m.Chance[f] = 0.05
			}
		}
		s := newStage(t, m, seed)
		for range 20 { // a connection each
			c := dial(t, s.link)
			for i := range int32(20) {
				c.send(0, i, "abcdefgh")
				if _, _, err := c.answer(long); err != nil {
					break
				}
			}
			_ = c.conn.Close() // read to its end
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var out []string
		for _, d := range s.log {
			d.At = time.Time{}
			out = append(out, d.String())
		}
		return out
	}
	one, two, other := fates(11), fates(11), fates(12)
	if len(one) == 0 || !slices.Equal(one, two) {
		t.Errorf("seed 11 decided\n%q\nand then\n%q", one, two)
	}
	if slices.Equal(one, other) {
		t.Error("seeds 11 and 12 decide the same")
	}
}

func TestWhatIsNotKafkaEndsTheConnection(t *testing.T) {
	s := newStage(t, link.Mix{}, 1)
	c := dial(t, s.link)
	if _, err := c.conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.answer(long); err == nil {
		t.Error("an answer to what is no request")
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if err := s.link.AwaitZombies(ctx); err != nil {
		t.Error(err)
	}
}
