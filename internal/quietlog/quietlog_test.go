package quietlog

import (
	"bytes"
	"fmt"
	"log/slog"
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
