package conn

import (
	"encoding/hex"
	"net"
	"os"
	"strings"
	"testing"
)

// recorded is a body that Apache Kafka answered ApiVersions with.
func recorded(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswersOfRealBrokersAreUnderstood(t *testing.T) {
	for _, tt := range []struct {
		broker                             string
		produce, fetch, metadata, describe int16
	}{
		{"3.9.1", 11, 17, 12, 0},
		{"4.3.1", 13, 18, 13, 0},
	} {
		for _, first := range []string{"kafka-" + tt.broker + "-apiversions-4.hex", "kafka-" + tt.broker + "-apiversions-refused.hex"} {
			t.Run(first, func(t *testing.T) {
				answers := [][]byte{recorded(t, first), recorded(t, "kafka-"+tt.broker+"-apiversions-4.hex")} // version 3 looks the same
				addr := peer(t, func(nc net.Conn) {
					for _, body := range answers {
						r, err := receive(nc)
						if err != nil {
							return
						}
						_, _ = nc.Write(frame(r.correlation, body))
					}
				})
				c := dial(t, Options{Addr: addr, RequestTimeout: patience})
				for key, want := range map[int16]int16{0: tt.produce, 1: tt.fetch, 3: tt.metadata, 61: tt.describe} {
					if got, ok := c.Version(key, -1); !ok || got != want {
						t.Errorf("Version(%d) = %d, %v; want %d", key, got, ok, want)
					}
				}
			})
		}
	}
}
