package quietlog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// says runs f with a log in a time of its own and gives the messages written, each with its count of held lines.
func says(t *testing.T, f func(log *slog.Logger)) (lines []string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		var out bytes.Buffer
		f(slog.New(Wrap(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "suppressed" || a.Key == "suppressed_records" || a.Key == "records" || a.Key == "file" || a.Key == "event" || a.Key == "topic" || a.Key == "err" {
				return a
			}
			return slog.Attr{}
		}}))))
		time.Sleep(10 * time.Minute) // what is pending is written
		synctest.Wait()              // by timers, which may run at this very moment
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.TrimSpace(line))
		}
	})
	return lines
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRepetitionsAreCountedAndHeldBackForAMinute(t *testing.T) {
	want(t, says(t, func(log *slog.Logger) {
		for range 5 {
			log.Warn("trouble", "event", "topic.trouble", "topic", "a")
		}
		log.Warn("trouble", "event", "topic.trouble", "topic", "b")
		time.Sleep(time.Minute)
		log.Warn("trouble", "event", "topic.trouble", "topic", "a")
	}), "event=topic.trouble topic=a", "event=topic.trouble topic=b", "event=topic.trouble topic=a suppressed=4")
}

// A broker that restarts within a minute of the daemon's start, twice.
func TestEachOutageWithinAMinuteIsWritten(t *testing.T) {
	want(t, says(t, func(log *slog.Logger) {
		log.Info("reached", "event", "link.up")
		log.Warn("not reached", "event", "link.down", "err", "refused")
		log.Info("reached", "event", "link.up")
		log.Warn("not reached", "event", "link.down", "err", "refused")
		log.Info("reached", "event", "link.up")
	}), "event=link.up", "event=link.down err=refused", "event=link.up", "event=link.down err=refused", "event=link.up")
}

// Law: whatever was logged, the last line written about a subject says what the last line logged said.
func TestTheLastStateIsAlwaysWritten(t *testing.T) {
	for n := range 40 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			last := ""
			lines := says(t, func(log *slog.Logger) {
				for i := range n {
					last = "link.up"
					if i%3 == 1 {
						last = "link.down"
					}
					log.Info("link", "event", last)
					time.Sleep(7 * time.Second)
				}
			})
			if n > 0 && !strings.HasPrefix(lines[len(lines)-1], "event="+last) {
				t.Errorf("the last of %d was %s, written was %q", n, last, lines)
			}
			if limit := 2 + (changes+1)*(n*7/60+1); len(lines) > limit {
				t.Errorf("%d lines of %d, want at most %d", len(lines), n, limit)
			}
		})
	}
}

func TestManySubjectsShareAPlace(t *testing.T) {
	lines := says(t, func(log *slog.Logger) {
		for i := range 10 * maxSubjects {
			log.Warn("trouble", "event", "topic.trouble", "topic", i)
		}
	})
	if len(lines) < maxSubjects || len(lines) > maxSubjects+2 {
		t.Errorf("%d lines, want %d and the last", len(lines), maxSubjects)
	}
}

func TestAHandlerIsWrappedOnce(t *testing.T) {
	h := Wrap(slog.DiscardHandler)
	if Wrap(h) != h || Wrap(h.WithAttrs(nil)).(*handler).subjects != h.(*handler).subjects {
		t.Error("it was wrapped again")
	}
}

// A program that ends within the minute leaves the last state in its log, and nothing twice.
func TestFlushWritesTheLastStateOfEachSubject(t *testing.T) {
	want(t, says(t, func(log *slog.Logger) {
		for i := range 9 {
			log.Warn("trouble", "event", "topic.trouble", "topic", "a", "err", fmt.Sprint(i))
		}
		log.Warn("trouble", "event", "topic.trouble", "topic", "b")
		Flush(log.Handler())
		Flush(log.Handler())
	}), "event=topic.trouble topic=a err=0", "event=topic.trouble topic=a err=1", "event=topic.trouble topic=a err=2", "event=topic.trouble topic=a err=3",
		"event=topic.trouble topic=a err=4", "event=topic.trouble topic=b", "event=topic.trouble topic=a err=8 suppressed=3")
}

// Five logs are cut at once, and one of them twice: an audit needs each of the six lines.
func TestEachLossIsWritten(t *testing.T) {
	for event := range losses {
		got := says(t, func(log *slog.Logger) {
			for i := range 6 {
				log.Warn("lines may be missing", "event", event, "file", i%5)
			}
		})
		if len(got) != 6 {
			t.Errorf("%d lines of 6: %q", len(got), got)
		}
	}
}

// Files are subjects of their own: what is said of one does not hold back what is said of another.
func TestFilesAreSubjectsOfTheirOwn(t *testing.T) {
	want(t, says(t, func(log *slog.Logger) {
		for _, file := range []string{"a", "b", "a"} {
			log.Info("reading file", "event", "file.opened", "file", file)
		}
	}), "event=file.opened file=a", "event=file.opened file=b")
}

// Law: of lines that count records, those written add up to all records.
func TestRecordsOfHeldLinesAreAddedUp(t *testing.T) {
	for n := range 40 {
		lines := says(t, func(log *slog.Logger) {
			for i := range n {
				log.Error("dropped", "event", "records.dropped", "topic", "a", "records", 43)
				time.Sleep(time.Duration(i%9) * time.Second)
			}
		})
		total := 0
		for _, line := range lines {
			for field := range strings.FieldsSeq(line) {
				for _, name := range []string{"records=", "suppressed_records="} {
					if text, ok := strings.CutPrefix(field, name); ok {
						count, _ := strconv.Atoi(text)
						total += count
					}
				}
			}
		}
		if total != 43*n {
			t.Errorf("the lines of %d times 43 records add up to %d: %q", n, total, lines)
		}
	}
}

// Two brokers cannot be reached, each for another reason, and are tried in turn for a minute and a half.
func TestReasonsThatTakeTurnsAreRepetitions(t *testing.T) {
	want(t, says(t, func(log *slog.Logger) {
		for i := range 900 {
			log.Warn("not reached", "event", "link.down", "err", []string{"refused", "no_answer"}[i%2])
			time.Sleep(100 * time.Millisecond)
		}
		log.Info("reached", "event", "link.up")
		log.Warn("not reached", "event", "link.down", "err", "refused")
	}), "event=link.down err=refused", "event=link.down err=no_answer",
		"event=link.down err=refused suppressed=598", "event=link.up suppressed=299", "event=link.down err=refused")
}

// The port that a connection of ours has is another one each time.
func TestTheOwnPortIsNoOtherReason(t *testing.T) {
	want(t, says(t, func(log *slog.Logger) {
		for port := range 5 {
			log.Warn("not reached", "event", "link.down", "err", fmt.Errorf("lookup:read_udp_[fe80::1%%eth0]:%d->10.0.0.53:53:i/o_timeout", 40000+port))
		}
	}), `event=link.down err=lookup:read_udp_[fe80::1%eth0]:40000->10.0.0.53:53:i/o_timeout`)
}

// Each of these is about something else, or answers somebody: none may be taken for a repetition of another, or give way to it.
func TestWhatIsAboutSomethingElseIsNotHeldBack(t *testing.T) {
	for name, lines := range map[string][][]any{
		"refused clients and a fault of the users' file": {{"access.denied", "a"}, {"access.denied", "b"}, {"access.denied", "c"}, {"access.denied", "d"}, {"access.denied", "e"}, {"access.fault", "f"}, {"access.denied", "e"}},
		"a topic's trouble and its quota":                {{"topic.trouble", "a"}, {"topic.trouble", "b"}, {"topic.trouble", "c"}, {"topic.trouble", "d"}, {"topic.trouble", "e"}, {"topic.quota.full", ""}, {"topic.trouble", "e"}},
	} {
		got := says(t, func(log *slog.Logger) {
			for _, l := range lines {
				log.Warn("…", "event", l[0], "err", l[1])
			}
		})
		if len(got) != 6 || !strings.Contains(got[5], fmt.Sprint(lines[5][0])) {
			t.Errorf("%s: %q, want the first six", name, got)
		}
	}
	for _, name := range []string{"section", "listener", "user"} {
		if got := says(t, func(log *slog.Logger) {
			log.Warn("…", "event", "x", name, "a")
			log.With(name, "b").Warn("…", "event", "x")
			log.With(name, "b").Warn("…", "event", "x")
		}); len(got) != 2 {
			t.Errorf("lines about two of %s: %q, want two", name, got)
		}
	}
	if got := says(t, func(log *slog.Logger) {
		for i := range 9 {
			log.Warn(fmt.Sprint("key ", i), "event", "config.warning")
		}
	}); len(got) != 9 {
		t.Errorf("nine warnings about the configuration: %q", got)
	}
	if got := says(t, func(log *slog.Logger) {
		debug := slog.New(Wrap(anyLevel{log.Handler().(*handler).next}))
		for range 9 {
			debug.Debug("a request was answered", "event", "http.request", "records", 1)
		}
	}); len(got) != 9 {
		t.Errorf("nine lines at DEBUG: %q", got)
	}
}

type anyLevel struct{ slog.Handler }

func (anyLevel) Enabled(context.Context, slog.Level) bool { return true }

// Law: however states and reasons follow each other, the last line written is the last one logged.
func TestALateStateIsTheLastOne(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		last := ""
		lines := says(t, func(log *slog.Logger) {
			for range r.IntN(60) {
				event, err := []string{"link.up", "link.down"}[r.IntN(2)], ""
				if event == "link.down" {
					err = string(rune('a' + r.IntN(9)))
				}
				last = "event=" + event + " err=" + err
				log.Warn("link", "event", event, "err", err)
				time.Sleep(time.Duration(r.IntN(20)) * time.Second)
			}
		})
		if last != "" && !strings.HasPrefix(strings.ReplaceAll(lines[len(lines)-1], `err=""`, "err="), last) {
			t.Errorf("seed %d: the last was %s, written was %q", seed, last, lines)
		}
	}
}
