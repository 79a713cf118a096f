package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

func TestDeadLettersAreExportedWithTheirRecords(t *testing.T) {
	t.Parallel()
	broker := startBroker(t)
	for _, live := range []bool{true, false} {
		t.Run("live="+strconv.FormatBool(live), func(t *testing.T) {
			spool := filepath.Join(t.TempDir(), "spool")
			d := startDaemon(t, spool, "-b", broker, "-X", "topics.create=false", "-X", "spool.settle.ms=10")
			for _, x := range []struct{ path, body string }{
				{"/topics/gone", `{"records":[{"key":"k","value":"a"},{"value":null,"partition":3}]}`},
				{"/topics/other", `{"records":[{"value":"c"}]}`},
			} {
				if code, text := d.post(t, x.path, "", x.body); code != 200 {
					t.Fatalf("%d %s", code, text)
				}
			}
			for _, topic := range []string{"gone", "other"} {
				trouble(t, spool, topic, "the topic does not exist")
				resolveOK(t, "put to the dead letters", topic, "--dead-letter", "--spool", spool)
			}
			pending, _ := json.Marshal(spoold.PendingRecord{Topic: "gone", Partition: -1})
			if !live {
				d.stop(t)
			}
			export := func(want int, args ...string) (string, []spoold.ExportedDeadLetter) {
				t.Helper()
				code, out, errs := run(t, "", append(append([]string{"dlq", "export"}, args...), "--spool", spool)...)
				if code != want {
					t.Errorf("dlq export %q: code %d, want %d: %s", args, code, want, errs)
				}
				var all []spoold.ExportedDeadLetter
				for line := range strings.Lines(out) {
					var x spoold.ExportedDeadLetter
					if json.Unmarshal([]byte(line), &x) == nil {
						all = append(all, x)
					}
				}
				return out + errs, all
			}
			text, all := export(0)
			if len(all) != 3 {
				t.Fatalf("%s", text)
			}
			if d := all[0]; d.Topic != "gone" || string(d.Key) != `"k"` || string(d.Value) != `"a"` || d.Partition != -1 || d.Serial != 1 || d.Timestamp == 0 || d.At == 0 || !strings.Contains(d.Message, "put aside") {
				t.Errorf("%+v", d)
			}
			if d := all[1]; d.Value != nil || d.Partition != 3 || d.Index != 1 {
				t.Errorf("%+v", d)
			}
			for name := range fields(t, string(pending)) {
				if _, ok := fields(t, text)[name]; !ok {
					t.Errorf("export prints %s, dlq export does not: %s", name, text)
				}
			}
			if text, some := export(0, "--topic", "other"); len(some) != 1 || some[0].Serial != 3 {
				t.Errorf("%s", text)
			}
			if text, some := export(0, "1", "3", "-o", "-"); len(some) != 2 {
				t.Errorf("%s", text)
			}
			if text, some := export(exitUsage, "7"); len(some) != 0 || !strings.Contains(text, "number 7") {
				t.Errorf("%s", text)
			}
			file := filepath.Join(t.TempDir(), "out.ndjson")
			if text, _ := export(0, "-o", file); !strings.Contains(text, "3 dead letters written to "+file) {
				t.Errorf("%s", text)
			}
			if kept, err := os.ReadFile(file); err != nil || string(kept) != text {
				t.Errorf("the file holds %s, %v; want %s", kept, err, text)
			}
			if text, _ := export(exitCannotCreate, "-o", file); !strings.Contains(text, file+" is there already, and is left as it is") {
				t.Errorf("%s", text)
			}
			export(exitCannotCreate, "-o", filepath.Join(file, "under"))
			export(exitCannotCreate, "-o", filepath.Join(t.TempDir(), "none", "out"))
		})
	}
}

// fields are those of the first object of a text.
func fields(t *testing.T, text string) (out map[string]any) {
	t.Helper()
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}
