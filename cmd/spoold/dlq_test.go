package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestDeadLettersAreListedShownDroppedAndReplayed(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{true, false} {
		t.Run("live="+strconv.FormatBool(live), func(t *testing.T) {
			spool := filepath.Join(t.TempDir(), "spool")
			d := startDaemon(t, spool, "-b", startBroker(t), "-X", "topics.create=false", "-X", "spool.settle.ms=10")
			if code, text := d.post(t, "/topics/gone", "", `{"records":[{"key":"k","value":"a"},{"value":"b"},{"value":"c"}]}`); code != 200 {
				t.Fatalf("%d %s", code, text)
			}
			trouble(t, spool, "gone", "the topic does not exist")
			resolveOK(t, "3 records put to the dead letters", "gone", "--dead-letter", "--spool", spool)
			if !live {
				d.stop(t)
			}
			dlq := func(want int, args ...string) string {
				t.Helper()
				code, out, errs := run(t, "", append(append([]string{"dlq"}, args...), "--spool", spool)...)
				if code != want {
					t.Errorf("dlq %q: code %d, want %d: %s", args, code, want, errs)
				}
				return out + errs
			}
			type letter struct {
				Serial uint64
				Topic  string
			}
			list := func() (all []letter) {
				t.Helper()
				if err := json.Unmarshal([]byte(dlq(0, "ls", "--json")), &all); err != nil {
					t.Fatal(err)
				}
				return all
			}
			all := list()
			if len(all) != 3 || all[0].Topic != "gone" {
				t.Fatalf("listed %+v, want three of gone", all)
			}
			first := strconv.FormatUint(all[0].Serial, 10)
			if text := dlq(0, "show", first); !strings.Contains(text, "gone") || !strings.Contains(text, "a") {
				t.Errorf("show: %s", text)
			}
			for _, verb := range []string{"drop", "replay"} {
				if text := dlq(exitUsage, verb); !strings.Contains(text, "--all") {
					t.Errorf("%s of nothing in particular: %s", verb, text)
				}
			}
			dlq(0, "drop", first)
			if all = list(); len(all) != 2 {
				t.Errorf("after a drop %+v are listed, want two", all)
			}
			if text := dlq(0, "replay", "--topic", "gone", "--json"); !strings.Contains(text, `"records":2`) {
				t.Errorf("replay: %s", text)
			}
			if all = list(); len(all) != 0 {
				t.Errorf("after the replay %+v are listed", all)
			}
			if s := statusOf(t, spool); s.Pending != 2 || s.Accepted != 5 || s.DeadLetters != 0 {
				t.Errorf("pending %d, accepted %d, dead letters %d, want 2, 5 and 0", s.Pending, s.Accepted, s.DeadLetters)
			}
		})
	}
}
