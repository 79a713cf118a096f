package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A replay of some of a transaction's records would have readers see these without the others, and so would one after a drop of some.
func TestDeadLettersOfAUnitAreReplayedAndDroppedTogether(t *testing.T) {
	broker := startBroker(t)
	for _, live := range []bool{true, false} {
		t.Run("live="+strconv.FormatBool(live), func(t *testing.T) {
			spool := filepath.Join(t.TempDir(), "spool")
			d := startDaemon(t, spool, "-b", broker, "-X", "topics.create=false", "-X", "spool.settle.ms=10", "-X", "transactional.id="+t.Name())
			unit := `{"topic":"gone","value":"a"}` + "\n" + `{"topic":"also","value":"b"}` + "\n"
			for _, last := range []string{`{"topic":"gone","value":"c"}`, `{"topic":"also","value":"d"}`} {
				if code, text := d.post(t, "/units", "", unit+last); code != 200 {
					t.Fatalf("%d %s", code, text)
				}
			}
			trouble(t, spool, "gone", "the topic does not exist")
			resolveOK(t, "6 records put to the dead letters", "gone", "--dead-letter", "--spool", spool)
			if !live {
				d.stop(t)
			}
			for _, try := range []struct {
				code int
				args string
				want string
			}{
				{exitUsage, "drop 4", "number 4 is of one with 3 records; not asked for: 5, 6. Nothing was changed: --whole-units drops the others with it, --divide-units"},
				{exitUsage, "drop --topic gone", "not asked for: 3; and so with 1 more transactions or batches. Nothing was changed"},
				{exitUsage, "drop 4 --whole-units --divide-units", "not both"},
				{0, "drop 4 --divide-units --json", `{"records":1}`},
				{0, "drop 5 --whole-units", "2 dead letters dropped"},
				{exitUsage, "--topic gone", "number 1 is of one with 3 records; not asked for: 3. Nothing was changed: --whole-units sends the others with it, --divide-units"},
				{exitUsage, "3", "not asked for: 1, 2."},
				{exitUsage, "3 --whole-units --divide-units", "not both"},
				{0, "--topic also --whole-units --json", `"records":3`},
				{0, "--all --json", `"records":0`},
			} {
				if !strings.HasPrefix(try.args, "drop ") {
					try.args = "replay " + try.args
				}
				code, out, errs := run(t, "", append(append([]string{"dlq"}, strings.Fields(try.args)...), "--spool", spool)...)
				if code != try.code || !strings.Contains(out+errs, try.want) {
					t.Errorf("dlq %s: code %d, %s; want %d, %q", try.args, code, out+errs, try.code, try.want)
				}
			}
			if s := statusOf(t, spool); s.Pending != 3 || s.Accepted != 9 || s.DeadLetters != 0 {
				t.Errorf("pending %d, accepted %d, dead letters %d, want 3, 9 and 0", s.Pending, s.Accepted, s.DeadLetters)
			}
		})
	}
}
