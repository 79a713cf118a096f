package main

import (
	"cmp"
	"encoding/json"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spoold/spoold"
)

// Bounds of a dump: a line of the log for each group of equal stacks.
const (
	dumpBytes  = 8 << 20  // of all stacks together
	dumpStacks = 200      // groups
	dumpStack  = 16 << 10 // bytes of one stack
	dumpTopics = 50
)

// dumpOnSignal writes goroutines and state to the log at each SIGUSR1, until stop. It has a goroutine of its own, so
// that it works while everything else waits.
func (d *daemon) dumpOnSignal() (stop func()) {
	c := make(chan os.Signal, 1)
	quit, done := make(chan struct{}), make(chan struct{})
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		defer close(done)
		for {
			select {
			case <-c:
				d.dump()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(quit)
		<-done
	}
}

// dump writes what an engineer wants to see of a daemon that does not do what it should. It waits for nothing but
// the log. There is no record and no secret in it: of the stacks only functions and places are written.
func (d *daemon) dump() {
	log := d.logs.all
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	log.Info("SIGUSR1: state of the process", "event", "dump.process", "version", spoold.Version(), "go", runtime.Version(), "pid", os.Getpid(),
		"goroutines", runtime.NumGoroutine(), "heap_bytes", m.HeapAlloc, "memory_bytes", m.Sys-m.HeapReleased, "collections", m.NumGC,
		"descriptors", openDescriptors())
	if p := d.opened.Load(); p != nil {
		log.Info("SIGUSR1: state of the spool and the cluster", "event", "dump.state", "status", json.RawMessage(statusJSON(p.Peek())))
	} else {
		log.Info("SIGUSR1: the spool is not open yet", "event", "dump.state")
	}
	text, whole := stacks()
	groups := groupStacks(text)
	for i, g := range groups {
		if i == dumpStacks {
			break
		}
		log.Info("SIGUSR1: goroutines", "event", "dump.goroutines", "count", g.count, "state", g.state, "longest_wait_min", g.minutes, "stack", cut(g.stack, dumpStack))
	}
	log.Info("SIGUSR1: end of the dump", "event", "dump.end", "stacks", len(groups), "left_out", max(0, len(groups)-dumpStacks), "whole", whole)
}

// statusJSON is the status with the topics that matter most: those with something pending.
func statusJSON(s *spoold.Status) []byte {
	short := *s
	short.Topics = slices.Clone(s.Topics)
	slices.SortStableFunc(short.Topics, func(a, b spoold.TopicStatus) int { return cmp.Compare(b.Pending, a.Pending) })
	short.Topics = short.Topics[:min(len(short.Topics), dumpTopics)]
	text, err := json.Marshal(&short)
	if err != nil {
		return []byte("null")
	}
	return text
}

func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// stacks are those of all goroutines, as far as they fit.
func stacks() (text string, whole bool) {
	for size := 256 << 10; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return string(buf[:n]), true
		} else if size >= dumpBytes {
			return string(buf[:n]), false
		}
	}
}

// stackGroup is goroutines that wait for the same at the same place.
type stackGroup struct {
	count   int
	state   string
	minutes int // that one of them has waited
	stack   string
}

var (
	stackHead  = regexp.MustCompile(`^goroutine \d+ (?:.*)\[([^,\]]*)(?:, (\d+) minutes)?.*\]:$`)
	stackArgs  = regexp.MustCompile(`\([^()]*\)$`)
	stackPlace = regexp.MustCompile(` \+0x[0-9a-f]+$`)
)

// groupStacks takes what runtime.Stack gives apart, without the arguments of functions; the largest group is first.
func groupStacks(text string) []stackGroup {
	var groups []stackGroup
	at := map[string]int{}
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		head, body, _ := strings.Cut(part, "\n")
		m := stackHead.FindStringSubmatch(head)
		if m == nil {
			continue // cut off
		}
		var lines []string
		for line := range strings.SplitSeq(body, "\n") {
			line = stackArgs.ReplaceAllString(stackPlace.ReplaceAllString(line, ""), "")
			if before, _, created := strings.Cut(line, " in goroutine "); created {
				line = before
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		g := stackGroup{count: 1, state: m[1], stack: strings.Join(lines, "\n")}
		g.minutes, _ = strconv.Atoi(m[2]) // none: 0
		key := g.state + "\n" + g.stack
		if i, there := at[key]; there {
			groups[i].count++
			groups[i].minutes = max(groups[i].minutes, g.minutes)
			continue
		}
		at[key] = len(groups)
		groups = append(groups, g)
	}
	slices.SortStableFunc(groups, func(a, b stackGroup) int { return cmp.Compare(b.count, a.count) })
	return groups
}

func cut(text string, size int) string {
	if len(text) > size {
		return text[:size] + "…"
	}
	return text
}
