package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/cmd/spoold/producers"
	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/spool"
)

// TestMain makes this test binary the program, too: scripts run `spoold`.
func TestMain(m *testing.M) {
	poll.Parallel("8")
	poll.InMemory()
	testscript.Main(m, map[string]func(){"spoold": main})
}

// TestScripts runs testdata/script: what a user types, what comes out, and the
// exit code. $BROKER is an embedded broker with auto-creation, $OTHER one of another
// cluster without.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("FREE", "spool.min.free.bytes=1MiB")
			broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("cluster-one"), kfake.AllowAutoTopicCreation(),
				kfake.DefaultNumPartitions(3), kfake.SeedTopics(1, "one"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "100000"}))
			if err != nil {
				return err
			}
			env.Defer(broker.Close)
			producers.Describe(broker)
			other, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("cluster-two"))
			if err != nil {
				return err
			}
			env.Defer(other.Close)
			env.Setenv("BROKER", broker.ListenAddrs()[0])
			env.Setenv("OTHER", other.ListenAddrs()[0])
			web, closing, err := notKafka(env)
			env.Setenv("WEB", web)
			env.Setenv("CLOSING", closing)
			env.Setenv("NOBODY", "127.0.0.1:1")
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":     code,
			"consume":  consume,
			"truncate": truncate,
			"flip":     flip,
			"newer":    newer,
			"big":      big,
			"append":   appendTo,
		},
	})
}

// notKafka starts a listener that answers in HTTP, and one that closes each connection.
func notKafka(env *testscript.Env) (web, closing string, err error) {
	var addrs []string
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ""} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		env.Defer(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				if answer != "" {
					_, _ = c.Read(make([]byte, 1024))
					_, _ = c.Write([]byte(answer))
				}
				_ = c.Close()
			}
		}()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs[0], addrs[1], nil
}

// code runs a program and checks its exit code: code N spoold ARGS…
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// consume writes a topic's records, one a line as partition|key|value|headers, to
// a file: consume BROKER TOPIC COUNT FILE.
func consume(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: consume BROKER TOPIC COUNT FILE")
	}
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(args[0]), kgo.ConsumeTopics(args[1]), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ts.Check(err)
	defer cl.Close()
	var out []byte
	ctx, cancel := contextFor(20 * time.Second)
	defer cancel()
	for n := 0; n < count; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			ts.Fatalf("only %d of %d records after 20 s:\n%s", n, count, out)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			out = fmt.Appendf(out, "%d|%s|%s|", r.Partition, nullable(r.Key), nullable(r.Value))
			for _, h := range r.Headers {
				out = fmt.Appendf(out, "%s=%s ", h.Key, nullable(h.Value))
			}
			out = append(out, '\n')
		})
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), out, 0o600))
}

func nullable(b []byte) string {
	if b == nil {
		return "<null>"
	}
	return string(b)
}

// segments are the files of a spool, the newest last.
func segments(ts *testscript.TestScript, dir string) []string {
	var found []string
	entries, err := os.ReadDir(ts.MkAbs(dir))
	ts.Check(err)
	for _, e := range entries {
		info, err := e.Info()
		ts.Check(err)
		if info.Size() > 8192 {
			found = append(found, filepath.Join(ts.MkAbs(dir), e.Name()))
		}
	}
	if len(found) == 0 {
		ts.Fatalf("no segment in %s", dir)
	}
	return found
}

// truncate cuts the newest segment of a spool short: truncate DIR.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	files := segments(ts, args[0])
	ts.Check(os.Truncate(files[len(files)-1], 5000))
}

// newer makes a spool that of a newer program: newer DIR.
func newer(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range segments(ts, args[0]) {
		text, err := os.ReadFile(name) //nolint:gosec // the test's own
		ts.Check(err)
		size := len(spool.AppendHead(nil, &spool.Head{}))
		mark := []byte{'S', 'P', 'H', spool.FormatVersion}
		for at := bytes.Index(text, mark); at >= 0; {
			head := text[at : at+size]
			head[3] = spool.FormatVersion + 1
			binary.LittleEndian.PutUint32(head[size-4:], spool.CRC(head[:size-4]))
			next := bytes.Index(text[at+size:], mark)
			if at += size + next; next < 0 {
				at = -1
			}
		}
		ts.Check(os.WriteFile(name, text, 0o600))
	}
}

// big writes a file of one line: big FILE BYTES.
func big(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(bytes.Repeat([]byte{'x'}, n), '\n'), 0o600))
}

// appendTo adds text to a file: append FILE TEXT, with \n and \r.
func appendTo(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(args[1]))
	ts.Check(errors.Join(err, f.Close()))
}

// flip changes one bit in every page of the newest segment: flip DIR.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	files := segments(ts, args[0])
	name := files[len(files)-1]
	text, err := os.ReadFile(name)
	ts.Check(err)
	for i := 100; i < len(text); i += 4096 {
		text[i] ^= 1
	}
	ts.Check(os.WriteFile(name, text, 0o600))
}
