package spoold

import (
	"strings"
	"testing"
)

func TestValuesThatAreProbablyNotMeantAreWarnedOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  []string // key, value, …
		want []string // "": none
	}{
		{"nothing", nil, nil},
		{"Kafka's default", []string{"delivery.timeout.ms", "120000"}, []string{"delivery.timeout.ms: a spooled record expires after 2m0s"}},
		{"librdkafka's default", []string{"message.timeout.ms", "300000"}, []string{"delivery.timeout.ms: a spooled record expires after 5m0s"}},
		{"a long life", []string{"delivery.timeout.ms", "24h"}, nil},
		{"no end of life", []string{"delivery.timeout.ms", "0"}, nil},
		{"credentials that are not sent", []string{"sasl.username", "alice", "sasl.password", "secret", "sasl.mechanism", "PLAIN"},
			[]string{"sasl.mechanism, sasl.username, sasl.password: without effect, since security.protocol is PLAINTEXT: no credentials are sent; give security.protocol=SASL_SSL"}},
		{"credentials beside encryption", []string{"sasl.jaas.config", "x", "security.protocol", "SSL"}, []string{"sasl.jaas.config: without effect, since security.protocol is SSL"}},
		{"a token's authority", []string{"https.ca.location", "ca.pem"}, []string{"https.ca.location: without effect"}},
		{"an authority that nobody asks", []string{"ssl.ca.location", "ca.pem"},
			[]string{"ssl.truststore.location: without effect, since security.protocol is PLAINTEXT: connections are not encrypted; give security.protocol=SSL"}},
		{"both", []string{"ssl.ca.location", "ca.pem", "sasl.username", "a"}, []string{"sasl.username: without effect", "ssl.truststore.location: without effect, since security.protocol is PLAINTEXT: connections are not encrypted; give security.protocol=SASL_SSL"}},
		{"all of it used", []string{"ssl.ca.location", "ca.pem", "sasl.username", "a", "security.protocol", "sasl_ssl"}, nil},
	} {
		c := validConfig()
		for i := 0; i < len(tt.set); i += 2 {
			if err := c.Set(tt.set[i], tt.set[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		got := c.Warnings()
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], tt.want[i]) || strings.Contains(got[i], "secret") {
				t.Errorf("%s: %q, want %q", tt.name, got[i], tt.want[i])
			}
		}
	}
}

func TestAnAddressThatIsNoneSaysWhatToWrite(t *testing.T) {
	for address, want := range map[string]string{
		"PLAINTEXT://kafka:9092":   "leave out PLAINTEXT://, and give security.protocol=PLAINTEXT: kafka:9092",
		"sasl_ssl://kafka:9093":    "leave out sasl_ssl://, and give security.protocol=SASL_SSL: kafka:9093",
		"http://kafka:9092/topics": "leave out http://",
		"kafka":                    "it has no port, such as kafka:9092",
		"::1:9092":                 "an IPv6 address stands in brackets",
		"kafka 9092":               "several are separated by commas",
		"a:9092;b:9092":            "several are separated by commas",
		"a/b:9092":                 "is not host:port",
		":9092":                    "is not host:port",
		"kafka:0":                  "no port between 1 and 65535",
		"[::1]:9092":               "",
		"kafka.example.com:9092":   "",
	} {
		c := validConfig()
		c.BootstrapServers = []string{address}
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
