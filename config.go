package spoold

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold/protocol"
)

// Config is what an operator says. Each field has one key in the table of
// config_keys.go, which has its type, range, default and help; Set goes
// by that key. DefaultConfig is where to start: in a zero Config most values are
// out of range, and Validate says so.
type Config struct {
	// Kafka's producer keys.
	BootstrapServers   []string      // bootstrap.servers
	ClientID           string        // client.id
	Acks               string        // acks: all or -1; others are refused
	EnableIdempotence  bool          // enable.idempotence: true; false is refused
	Retries            int64         // retries: does not apply, see the table
	MaxInFlight        int64         // max.in.flight.requests.per.connection, per partition here
	DeliveryTimeout    time.Duration // delivery.timeout.ms; 0: records do not expire
	RequestTimeout     time.Duration
	Linger             time.Duration
	BatchSize          int64
	BufferMemory       int64
	MaxBlock           time.Duration
	MaxRequestSize     int64
	CompressionType    string
	GzipLevel          int64
	LZ4Level           int64
	ZstdLevel          int64
	PartitionerClass   string        // partitioner.class: a name of Kafka's, librdkafka's or sarama's; "": the built-in one
	IgnoreKeys         bool          // partitioner.ignore.keys
	Adaptive           bool          // partitioner.adaptive.partitioning.enable
	Availability       time.Duration // partitioner.availability.timeout.ms; 0: off
	CompressionLevel   int64         // of whatever codec; -1: the three above
	MetadataMaxAge     time.Duration
	MetadataMaxIdle    time.Duration
	PushMetrics        bool          // enable.metrics.push
	Rebootstrap        time.Duration // metadata.recovery.rebootstrap.trigger.ms
	RetryBackoff       time.Duration
	RetryBackoffMax    time.Duration
	ReconnectBackoff   time.Duration
	ReconnectMax       time.Duration
	ConnectTimeout     time.Duration // socket.connection.setup.timeout.ms
	ConnectTimeoutMax  time.Duration // socket.connection.setup.timeout.max.ms
	ConnectionsMaxIdle time.Duration
	SendBuffer         int64 // send.buffer.bytes; -1: the system's
	ReceiveBuffer      int64 // receive.buffer.bytes; -1: the system's
	SecurityProtocol   string
	TLS                TLSConfig
	SASL               SASLConfig

	// The spool.
	SpoolPath         string
	SpoolMaxBytes     int64
	SpoolMaxAge       time.Duration // 0: records are not dropped by age
	TopicQuota        int64         // topic.quota.bytes; 0: none
	TopicQuotaFull    string        // topic.quota.full: block, reject or drop-oldest
	TopicQuotas       []string      // topic.quota.topics: TOPIC=BYTES or TOPIC=BYTES:POLICY
	SpoolCorrupt      string
	SpoolMinFreeBytes int64
	TimestampAhead    time.Duration // timestamp.ahead.max.ms; 0: however far
	SpoolSettle       time.Duration
	SpoolSegmentBytes int64 // 0: as spool.max.bytes allows
	SpoolMaxTopics    int64
	SpoolStateMax     int64
	IdempotencyBytes  int64
	SpoolCommitMax    int64  // spool.commit.max.bytes
	DeadLetterBytes   int64  // dlq.max.bytes; 0: a quarter of what the spool may own
	DeadLetterFull    string // dlq.full: block or drop-oldest
	DeadLetterTopic   string // dlq.topic; "": dead letters stay in the spool
	IdempotencyWindow time.Duration
	IdempotencyKeys   int64

	ProducerStateMargin time.Duration // producer.state.margin
	TopicsCreate        bool          // topics.create
	CallbacksMax        int64         // callbacks.max
	TransactionalID     string        // transactional.id
	TransactionTimeout  time.Duration // transaction.timeout.ms
	UnitMemory          int64         // unit.memory.bytes
	UnitStaged          int64         // unit.staged.bytes

	warnings []string
}

// DefaultConfig is every default of the table. bootstrap.servers and spool.path
// have none.
func DefaultConfig() Config {
	var c Config
	table.Default(&c)
	return c
}

// Set gives the key its value, as text: numbers, sizes (10MiB), durations (a plain
// number is milliseconds for keys that end in .ms; 24h for the others). The key may be in any of its spellings. It
// checks what can be checked of the value alone; Validate checks the rest.
// A key that does nothing here is accepted and reported by Warnings, or refused.
// The error is a *ConfigError.
func (c *Config) Set(key, value string) error {
	key = strings.TrimSpace(key)
	if key == "" {
		return &ConfigError{Key: key, What: "empty key"}
	}
	name, s, known := table.Find(key)
	if !known {
		name = key
	}
	warning, err := table.Set(c, key, value)
	if err != nil {
		if s.Secret || !known {
			value = ""
		}
		return &ConfigError{Key: name, Value: value, What: err.Error()}
	}
	if warning != "" {
		c.warn(warning)
	}
	return nil
}

// Get is the key's value as text that Set takes, and whether there is such a key that works. Secrets are [hidden].
func (c *Config) Get(key string) (string, bool) { return table.Get(c, key) }

// Differs reports whether another configuration has another value of the key. It looks into secrets.
func (c *Config) Differs(other *Config, key string) bool { return !table.Same(c, other, key) }

func (c *Config) warn(text string) {
	if !slices.Contains(c.warnings, text) {
		c.warnings = append(slices.Clip(c.warnings), text)
	}
}

// Validate reports every fault at once, each a *ConfigError inside. Kafka
// adjusts some of these combinations quietly; spoold refuses them, because a spool
// that stopped being idempotent by accident is the worst failure there is.
func (c *Config) Validate() error { return c.validate(false) }

// validate with own takes for granted that the program brings a SASL mechanism.
func (c *Config) validate(own bool) error {
	var errs []error
	fault := func(key, what string, args ...any) {
		value, _ := c.Get(key)
		errs = append(errs, &ConfigError{Key: key, Value: value, What: fmt.Sprintf(what, args...)})
	}
	table.Check(c, func(key string, err error) { fault(key, "%v", err) })
	if len(c.BootstrapServers) == 0 {
		fault("bootstrap.servers", "needs at least one host:port")
	}
	for i, server := range c.BootstrapServers {
		if err := checkAddress(server); err != nil {
			fault("bootstrap.servers", "%v", err)
		}
		if slices.Contains(c.BootstrapServers[:i], server) {
			fault("bootstrap.servers", "names %s twice", server)
		}
	}
	if c.SpoolPath == "" {
		fault("spool.path", "needs a directory")
	}
	if c.DeliveryTimeout != 0 && c.DeliveryTimeout < c.Linger+c.RequestTimeout {
		fault("delivery.timeout.ms", "is under linger.ms (%v) plus request.timeout.ms (%v)", c.Linger, c.RequestTimeout)
	}
	if c.BufferMemory < 2*c.BatchSize {
		fault("buffer.memory", "must hold at least two batches of batch.size (%d)", c.BatchSize)
	}
	if c.BufferMemory < 2*c.MaxRequestSize {
		fault("buffer.memory", "must be at least twice max.request.size (%d)", c.MaxRequestSize)
	}
	if c.ConnectTimeoutMax < c.ConnectTimeout {
		fault("socket.connection.setup.timeout.max.ms", "is under socket.connection.setup.timeout.ms (%v)", c.ConnectTimeout)
	}
	if c.SpoolMaxBytes < 2*c.SpoolSegmentBytes {
		fault("spool.max.bytes", "must be at least twice spool.segment.bytes (%d): raise it to %d, or lower spool.segment.bytes to at most %d",
			c.SpoolSegmentBytes, 2*c.SpoolSegmentBytes, c.SpoolMaxBytes/2)
	}
	if c.IgnoreKeys && c.PartitionerClass != "" {
		fault("partitioner.ignore.keys", "is for the built-in partitioner, and partitioner.class is %s: give one of them", c.PartitionerClass)
	}
	if c.DeadLetterTopic != "" {
		if err := checkTopic(c.DeadLetterTopic); err != nil {
			fault("dlq.topic", "%v", err)
		}
	}
	c.checkSecurity(own, fault)
	return errors.Join(errs...)
}

// partitioners by the names that other clients have for them.
var partitioners = map[string]protocol.Partitioner{
	"": protocol.ByKafka, "murmur2_random": protocol.ByKafka, "org.apache.kafka.clients.producer.internals.DefaultPartitioner": protocol.ByKafka,
	"RoundRobinPartitioner": protocol.RoundRobin, "org.apache.kafka.clients.producer.RoundRobinPartitioner": protocol.RoundRobin,
	"org.apache.kafka.clients.producer.UniformStickyPartitioner": protocol.Sticky, "random": protocol.Sticky,
	"murmur2": protocol.ByMurmur2, "consistent": protocol.ByCRC32, "consistent_random": protocol.ByCRC32OrSticky,
	"fnv1a": protocol.ByFNV1a, "fnv1a_random": protocol.ByFNV1aOrSticky, "sarama": protocol.ByFNV1aOrSticky,
}

// partitioner is partitioner.class and partitioner.ignore.keys.
func (c *Config) partitioner() protocol.Partitioner {
	if c.IgnoreKeys {
		return protocol.Sticky
	}
	return partitioners[c.PartitionerClass]
}

// codec is the compression.type as a number with its level.
func (c *Config) codec() (protocol.Codec, int) {
	level := func(own int64) int {
		if c.CompressionLevel != -1 {
			return int(c.CompressionLevel)
		}
		return int(own)
	}
	switch c.CompressionType {
	case "gzip":
		return protocol.CodecGzip, level(c.GzipLevel)
	case "snappy":
		return protocol.CodecSnappy, 0
	case "lz4":
		return protocol.CodecLZ4, level(c.LZ4Level)
	case "zstd":
		return protocol.CodecZstd, level(c.ZstdLevel)
	}
	return protocol.CodecNone, 0
}

func checkAddress(addr string) error {
	if scheme, rest, ok := strings.Cut(addr, "://"); ok {
		return fmt.Errorf("%q is not host:port: leave out %s://%s", addr, scheme, protocolHint(scheme, rest))
	}
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil && strings.Contains(addr, "::") && !strings.HasPrefix(addr, "["):
		return fmt.Errorf("%q is not host:port: an IPv6 address stands in brackets, such as [::1]:9092", addr)
	case err != nil && strings.ContainsAny(addr, "; \t"):
		return fmt.Errorf("%q is not host:port: several are separated by commas", addr)
	case err != nil && !strings.ContainsAny(addr, ":["):
		return fmt.Errorf("%q is not host:port: it has no port, such as %s:9092", addr, addr)
	case err != nil || host == "" || strings.ContainsAny(host, " \t/"):
		return fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q has no port between 1 and 65535", addr)
	}
	return nil
}

// protocolHint says which key says what was put in front of an address, as in a broker's listeners.
func protocolHint(scheme, rest string) string {
	rest, _, _ = strings.Cut(rest, "/")
	if p := strings.ToUpper(scheme); slices.Contains(securityProtocols, p) {
		return fmt.Sprintf(", and give security.protocol=%s: %s", p, rest)
	}
	return ""
}
