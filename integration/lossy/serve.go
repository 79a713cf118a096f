package lossy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/spoold/spoold/integration/powercut"
)

// envMount is the environment's name for the directory that Main serves.
const envMount = "LOSSY_MOUNT"

// command is a line on the file system's standard input.
type command struct {
	Do      string // one of those that serve knows
	Seed    uint64 // of on: what survives
	Setting Setting
	Moment  *Moment
	Faults  []Fault
	Dir     string
}

// message is a line on its standard output.
type message struct {
	Answer bool // to a command; else Notice is set
	Err    string
	Tally  powercut.Tally // of off
	Look   Look           // of look
	Notice Notice
}

// Main is the file system's own process, if this is it: a program that uses Open calls it first, and
// returns if it reports true. It ends when its standard input does.
func Main() bool {
	dir := os.Getenv(envMount)
	if dir == "" {
		return false
	}
	s := &server{dir: dir, out: json.NewEncoder(os.Stdout)}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		m := message{Answer: true}
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			err = s.do(&c, &m)
		}
		if err != nil {
			m.Err = err.Error()
		}
		s.say(m)
	}
	if s.v != nil {
		s.v.Abandon()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			fmt.Fprintf(os.Stderr, "lossy: unmount %s: %v\n", dir, err)
		}
	}
	return true
}

// server is the disk with what it is mounted by.
type server struct {
	dir   string
	v     *volume // nil: it is off
	fuse  *fuse.Server
	disk  *powercut.Disk // when it is off
	modes map[int]uint32

	before map[string]powercut.Image // when the power was turned on

	mu  sync.Mutex
	out *json.Encoder
}

func (s *server) say(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.out.Encode(m); err != nil {
		os.Exit(1) // nobody listens: the rig is gone
	}
}

func (s *server) do(c *command, m *message) (err error) {
	switch c.Do {
	case "blank":
		if s.v != nil {
			return errors.New("lossy: the disk is on")
		}
		s.disk, s.modes = powercut.New(nil), map[int]uint32{}
		return nil
	case "on":
		return s.on(c.Setting)
	}
	if s.v == nil {
		return fmt.Errorf("lossy: %s: the disk is off", c.Do)
	}
	switch c.Do {
	case "cut":
		s.v.CutPower()
	case "abandon":
		s.v.Abandon()
	case "off":
		m.Tally, err = s.off(c.Seed)
		return err
	case "arm":
		s.v.Arm(c.Moment)
	case "fail":
		s.v.Fail(c.Faults...)
	case "look":
		m.Look = s.v.Look()
	case "dump":
		return errors.Join(dump(filepath.Join(c.Dir, "before"), s.before), dump(filepath.Join(c.Dir, "now"), s.v.Images()))
	default:
		return fmt.Errorf("lossy: unknown command %q", c.Do)
	}
	return nil
}

func dump(dir string, files map[string]powercut.Image) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("lossy: %w", err)
	}
	for name, im := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, im.Data, 0o600); err != nil {
			return fmt.Errorf("lossy: %w", err)
		}
		if err := os.Truncate(path, im.Size); err != nil {
			return fmt.Errorf("lossy: %w", err)
		}
	}
	return nil
}

// on mounts what is on the disk.
func (s *server) on(set Setting) error {
	if s.v != nil || s.disk == nil {
		return errors.New("lossy: the disk is on, or there is none")
	}
	v := newVolume(s.disk, s.modes, set, func(n Notice) { s.say(message{Notice: n}) })
	mounted, err := mount(v, s.dir)
	if err != nil {
		return fmt.Errorf("lossy: mount at %s (needs root and /dev/fuse): %w", s.dir, err)
	}
	s.v, s.fuse, s.before = v, mounted, v.Images()
	return nil
}

// off unmounts, and keeps what the power cut leaves.
func (s *server) off(seed uint64) (powercut.Tally, error) {
	s.v.CutPower()
	s.v.Abandon()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-again.C { // until nobody has a file of it open any more
		err := syscall.Unmount(s.dir, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return nil, fmt.Errorf("lossy: unmount %s: %w", s.dir, err)
		}
	}
	s.fuse.Wait()
	var tally powercut.Tally
	s.disk, tally = s.v.Survivors(rand.New(rand.NewPCG(seed, 2)))
	s.v, s.fuse = nil, nil
	return tally, nil
}
