package spoold

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func validConfig() Config {
	c := DefaultConfig()
	c.BootstrapServers = []string{"localhost:9092"}
	c.SpoolPath = "spool"
	return c
}

func TestDefaultsAreValidOnceBrokersAndSpoolAreNamed(t *testing.T) {
	c := validConfig()
	if err := c.Validate(); err != nil {
		t.Fatalf("Validate() = %v", err)
	}
}

func TestEveryKeyHasHelpAndReadsBackWhatItPrints(t *testing.T) {
	c := validConfig()
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Name] {
			t.Errorf("%s is in the table twice", k.Name)
		}
		seen[k.Name] = true
		if !k.Works {
			if k.Note == "" {
				t.Errorf("%s does nothing, and it is not said why", k.Name)
			}
			continue
		}
		if k.Help == "" {
			t.Errorf("%s has no help", k.Name)
		}
		text, ok := c.Get(k.Name)
		if !ok {
			t.Fatalf("Get(%s) knows no such key", k.Name)
		}
		if k.Default == "" && text == "0" {
			continue // not given, which is no value
		}
		var d Config
		if err := d.Set(k.Name, text); err != nil {
			t.Errorf("Set(%s, %q) = %v", k.Name, text, err)
		}
		if again, _ := d.Get(k.Name); again != text {
			t.Errorf("%s: %q reads back as %q", k.Name, text, again)
		}
	}
}

func TestZeroConfigIsRefusedWithEveryFaultNamed(t *testing.T) {
	var c Config
	err := c.Validate()
	for _, key := range []string{"bootstrap.servers", "spool.path", "acks", "enable.idempotence", "max.request.size"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Validate() of a zero Config does not name %s: %v", key, err)
		}
	}
	var fault *ConfigError
	if !errors.As(err, &fault) {
		t.Errorf("Validate() = %T, want a *ConfigError inside", err)
	}
}

func TestSetParsesNumbersSizesAndTimes(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"linger.ms", "7", "7"},
		{"linger.ms", "2s", "2000"},
		{"batch.size", "16384", "16384"},
		{"batch.size", "64KiB", "65536"},
		{"spool.max.bytes", "8GiB", "8589934592"},
		{"spool.max.bytes", "1GB", "1000000000"},
		{"idempotency.window", "7d", "168h"},
		{"idempotency.window", "90m", "1h30m"},
		{"producer.state.margin", "60m", "1h"},
		{"security.protocol", "sasl_ssl", "SASL_SSL"},
		{"queue.buffering.max.ms", "9", "9"},
		{"acks", "-1", "-1"},
		{"compression.codec", "zstd", "zstd"},
		{"send.buffer.bytes", "-1", "-1"},
		{"security.protocol", "PLAINTEXT", "PLAINTEXT"},
	} {
		c := validConfig()
		if err := c.Set(tt.key, tt.value); err != nil {
			t.Errorf("Set(%s, %q) = %v", tt.key, tt.value, err)
			continue
		}
		if got, _ := c.Get(tt.key); got != tt.want {
			t.Errorf("Set(%s, %q) gives %q, want %q", tt.key, tt.value, got, tt.want)
		}
	}
}

func TestSetRefusesWithTheKeyAndWhatToDo(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"linger.mss", "5", "did you mean linger.ms?"},
		{"bootstrap.server", "a:1", "did you mean bootstrap.servers?"},
		{"spool.pathh", "x", "did you mean spool.path?"},
		{"completely.different", "x", "unknown key"},
		{"", "x", "empty key"},
		{"linger.ms", "soon", "number of milliseconds"},
		{"linger.ms", "-1", "must be between 0 ms"},
		{"batch.size", "10 apples", "must be a size"},
		{"max.block.ms", "-1152921504606846976", "must be between 0 ms"},
		{"spool.min.free.bytes", "-9223372036854775808KiB", "is too large"},
		{"idempotency.window", "24", "needs a unit"},
		{"idempotency.window", "1m", "must be between 15m and"},
		{"spool.max.age", "1ms", "must be 0s, or 100ms to"},
		{"spool.max.age", "99ms", "or 100ms to"},
		{"enable.idempotence", "false", "idempotently only"},
		{"enable.idempotence", "maybe", "true or false"},
		{"transaction.two.phase.commit.enable", "true", "two-phase commit is not supported"},
		{"acks", "1", "acks=all only"},
		{"acks", "0", "acks=all only"},
		{"retries", "0", "must be between 1"},
		{"max.in.flight.requests.per.connection", "6", "must be between 1 and 5"},
		{"compression.type", "brotli", "must be one of none, gzip"},
		{"compression.gzip.level", "0", "must be -1, or 1 to 9"},
		{"compression.level", "13", "must be -1, or 1 to 12"},
		{"topic.quota.bytes", "1", "must be 0, or 64KiB to 1024TiB"},
		{"spool.segment.bytes", "1", "must be 0, or 64KiB to 4GiB"},
		{"client.id", "${env:HOSTNAME}", "only secrets and credentials"},
		{"transactional.id", "x-${file:/etc/id}", "only secrets and credentials"},
		{"send.buffer.bytes", "-2", "must be between -1"},
		{"security.protocol", "TLS", "must be one of PLAINTEXT, SSL"},
		{"sasl.mechanism", "CRAM-MD5", "must be PLAIN"},
		{"sasl.mechanism", "AWS_MSK_IAM", "SCRAM-SHA-512"},
		{"sasl.oauthbearer.token.endpoint.url", "ftp://x", "must begin with https://"},
		{"ssl.enabled.protocols", "SSLv3", "no version"},
		{"ssl.enabled.protocols", "TLSv1.1,TLSv1.3", "leaves out a version"},
		{"ssl.cipher.suites", "TLS_NONE", "no cipher suite TLS_NONE"},
		{"ssl.truststore.type", "DER", "must be one of JKS"},
		{"compression.level", "0", "-1"},
		{"partitioner.class", "org.example.Mine", "must be one of RoundRobinPartitioner"},
		{"enable.ssl.certificate.verification", "false", "always looked at"},
	} {
		c := validConfig()
		err := c.Set(tt.key, tt.value)
		var fault *ConfigError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Set(%s, %q) = %v, want a *ConfigError with %q", tt.key, tt.value, err, tt.want)
		}
	}
}

func TestJavaOnlyKeysAreAcceptedAndReportedOnce(t *testing.T) {
	c := validConfig()
	for _, key := range []string{"key.serializer", "key.serializer", "metrics.num.samples", "interceptor.classes", "socket.nagle.disable"} {
		if err := c.Set(key, "false"); err != nil {
			t.Errorf("Set(%s) = %v", key, err)
		}
	}
	if w := c.Warnings(); len(w) != 4 {
		t.Errorf("Warnings() = %q, want 4", w)
	}
}

func TestConflictsAreRefusedNotAdjusted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"delivery timeout under linger and request timeout", func(c *Config) { c.DeliveryTimeout = time.Second }, "delivery.timeout.ms"},
		{"buffer under two batches", func(c *Config) { c.BufferMemory, c.BatchSize = 1<<20, 1<<20 }, "buffer.memory"},
		{"same broker twice", func(c *Config) { c.BootstrapServers = []string{"a:1", "a:1"} }, "twice"},
		{"broker without port", func(c *Config) { c.BootstrapServers = []string{"a"} }, "not host:port"},
		{"spool under two segments", func(c *Config) { c.SpoolMaxBytes, c.SpoolSegmentBytes = 100<<20, 64<<20 }, "spool.max.bytes"},
		{"acks through the field", func(c *Config) { c.Acks = "1" }, "acks"},
	} {
		c := validConfig()
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Validate() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// What is not given is what an idempotent producer needs, with a transactional.id and without, and does not conflict with what is.
func TestWhatIsNotGivenIsWhatIdempotenceNeeds(t *testing.T) {
	for name, given := range map[string]map[string]string{
		"nothing":            {},
		"transactional.id":   {"transactional.id": "t"},
		"the other spelling": {"acks": "-1"},
		"its own values":     {"acks": "all", "enable.idempotence": "true", "max.in.flight.requests.per.connection": "5", "retries": "2147483647"},
		"long waits":         {"linger.ms": "200000", "request.timeout.ms": "300000"}, // delivery.timeout.ms is not given
		"the system's sizes": {"send.buffer.bytes": "-1", "receive.buffer.bytes": "-1"},
	} {
		c := validConfig()
		for key, value := range given {
			if err := c.Set(key, value); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: Validate() = %v", name, err)
		}
		for key, want := range map[string]string{"enable.idempotence": "true", "max.in.flight.requests.per.connection": "5", "retries": "2147483647", "client.id": "spoold"} {
			if got, _ := c.Get(key); got != want {
				t.Errorf("%s: %s=%s, want %s", name, key, got, want)
			}
		}
		if acks, _ := c.Get("acks"); acks != "all" && acks != "-1" {
			t.Errorf("%s: acks=%s", name, acks)
		}
	}
}

func TestWarningsOfACopyDoNotReachTheOriginal(t *testing.T) {
	a := validConfig()
	_ = a.Set("key.serializer", "x")
	b := a
	_ = b.Set("value.serializer", "x")
	_ = a.Set("metric.reporters", "x")
	if w := b.Warnings(); len(w) != 2 || !strings.HasPrefix(w[1], "value.serializer") {
		t.Errorf("copy's Warnings() = %q", w)
	}
}

// A small spool needs no other key: segments fit it.
func TestSegmentsFitTheSpool(t *testing.T) {
	for limit, want := range map[int64]int64{8 << 30: 64 << 20, 20 << 20: 20 << 16, 1 << 20: 64 << 10} {
		c := validConfig()
		c.SpoolMaxBytes = limit
		if err := c.Validate(); err != nil || c.segmentBytes() != want {
			t.Errorf("spool.max.bytes %d: segments of %d bytes, want %d; %v", limit, c.segmentBytes(), want, err)
		}
		if c.SpoolSegmentBytes = 100; c.Validate() == nil {
			t.Error("segments of 100 bytes are taken")
		}
		if c.SpoolSegmentBytes = limit; c.Validate() == nil {
			t.Error("a segment as large as the spool is taken")
		}
	}
}
