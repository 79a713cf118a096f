//go:build kafka

package kafka_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// kafka-dump-log decodes every record of a segment and checks every batch: its reading of ours is ours.
func TestKafkasOwnDumpLogReadsWhatWasDelivered(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	var files []string
	codecs := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for _, codec := range codecs {
		if err := c.CreateTopic(t.Context(), codec, 1, nil); err != nil {
			t.Fatal(err)
		}
		p := mustOpen(t, c, t.TempDir(), map[string]string{"compression.type": codec, "batch.size": "2KiB"})
		spooled(t, p, codec, 0, 300)
		drained(t, p)
		for _, r := range []spoold.Record{{}, {Key: []byte{}}, {Value: []byte{}}, {Key: []byte{}, Value: []byte{}},
			{Value: []byte("last"), Headers: []spoold.Header{{Key: "null"}, {Key: "empty", Value: []byte{}}, {}}}} {
			r.Topic = codec
			if _, err := p.Send(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		drained(t, p)
		stop(t, p)
		files = append(files, filepath.Join(c.Data(0), codec+"-0", "00000000000000000000.log"))
	}
	out, err := c.Tool(t.Context(), "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", strings.Join(files, ","))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(out, "Dumping ")[1:]
	if len(parts) != len(codecs) {
		t.Fatalf("%d segments were dumped:\n%s", len(parts), out)
	}
	sizes := []string{"keySize: -1 valueSize: -1 ", "keySize: 0 valueSize: -1 ", "keySize: -1 valueSize: 0 ", "keySize: 0 valueSize: 0 ", "keySize: -1 valueSize: 4 "}
	for i, part := range parts {
		at := 0 // in part
		for n := range 305 {
			from := strings.Index(part[at:], fmt.Sprintf("| offset: %d ", n))
			if from < 0 {
				t.Fatalf("%s: offset %d is not there:\n%s", codecs[i], n, part)
			}
			at += from
			want := fmt.Sprintf("key: k payload: v%d\n", n)
			if n >= 300 {
				want = sizes[n-300]
			}
			if line, _, _ := strings.Cut(part[at:], "\n"); !strings.Contains(line+"\n", want) {
				t.Errorf("%s: %q", codecs[i], line)
			}
		}
		if strings.Count(part, "isvalid: true") == 0 || strings.Contains(part, "isvalid: false") || strings.Contains(part, "Found ") ||
			!strings.Contains(part, "compresscodec: "+codecs[i]) || !strings.Contains(part, "headerKeys: [null,empty,] payload: last") {
			t.Errorf("%s:\n%s", codecs[i], part)
		}
	}
}
