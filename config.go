package spoold

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spoold/spoold/protocol"
)

// Config is what an operator says. Each field has one key in the table of
// config_keys.go, which knows its type, range, default and help; Set goes
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
	DeliveryTimeout    time.Duration // delivery.timeout.ms: does not apply; 0 = not given
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
	MetadataMaxAge     time.Duration
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

	// The spool.
	SpoolPath         string
	SpoolMaxBytes     int64
	SpoolMinFreeBytes int64
	SpoolSettle       time.Duration
	SpoolSegmentBytes int64
	SpoolMaxTopics    int64
	IdempotencyWindow time.Duration
	IdempotencyKeys   int64

	ProducerStateMargin time.Duration // producer.state.margin
	TopicsCreate        bool          // topics.create
	CallbacksMax        int64         // callbacks.max
	TransactionalID     string        // transactional.id
	TransactionTimeout  time.Duration // transaction.timeout.ms
	UnitMemory          int64         // unit.memory.bytes

	// The daemon.
	HTTPListen         string
	HTTPMaxBodyBytes   int64
	HTTPMaxConnections int64
	AdminListen        string
	LogLevel           string
	LogFormat          string
	ShutdownTimeout    time.Duration

	warnings []string
}

// DefaultConfig is every default of the table. bootstrap.servers and spool.path
// have none.
func DefaultConfig() Config {
	var c Config
	for i := range keys {
		if k := &keys[i]; k.Default != "" {
			if err := k.set(&c, k.Default); err != nil {
				panic(fmt.Sprintf("spoold: default %q of %s: %v", k.Default, k.Name, err))
			}
		}
	}
	return c
}

// Set gives the key its value, as text: numbers, sizes (10MiB), durations (a plain
// number is milliseconds for keys that end in .ms; 24h for the others). It
// checks what can be checked of the value alone; Validate checks the rest.
// A key that means something only to Java is accepted and reported by Warnings.
// The error is a *ConfigError.
func (c *Config) Set(key, value string) error {
	key, err := canonical(key)
	if err != nil {
		return err
	}
	if why, ok := ignored(key); ok {
		c.warn(fmt.Sprintf("%s is ignored: %s", key, why))
		return nil
	}
	if accepts, ok := notYet(key); ok {
		if value == accepts {
			return nil
		}
		return &ConfigError{Key: key, Value: hide(key, value), What: "not supported yet"}
	}
	k, ok := keyByName[key]
	if !ok {
		return unknownKey(key)
	}
	if err := k.set(c, value); err != nil {
		return &ConfigError{Key: key, Value: value, What: err.Error()}
	}
	if k.Note != "" {
		c.warn(fmt.Sprintf("%s: %s", key, k.Note))
	}
	return nil
}

// Get is the key's value as text that Set takes, and whether there is such a key.
func (c *Config) Get(key string) (string, bool) {
	k, ok := keyByName[key]
	if !ok {
		return "", false
	}
	return k.get(c), true
}

// Warnings are remarks on keys that were set and change nothing, in order.
func (c *Config) Warnings() []string { return slices.Clone(c.warnings) }

func (c *Config) warn(text string) {
	if !slices.Contains(c.warnings, text) {
		c.warnings = append(slices.Clip(c.warnings), text)
	}
}

// Validate reports every fault at once, each a *ConfigError inside. Kafka
// adjusts some of these combinations quietly; spoold refuses them, because a spool
// that stopped being idempotent by accident is the worst failure there is.
func (c *Config) Validate() error {
	var errs []error
	fault := func(key, what string, args ...any) {
		value, _ := c.Get(key)
		errs = append(errs, &ConfigError{Key: key, Value: value, What: fmt.Sprintf(what, args...)})
	}
	for i := range keys {
		if err := keys[i].check(c); err != nil {
			fault(keys[i].Name, "%v", err)
		}
	}
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
		fault("spool.max.bytes", "must hold at least two segments of spool.segment.bytes (%d)", c.SpoolSegmentBytes)
	}
	return errors.Join(errs...)
}

// codec is the compression.type as a number with its level.
func (c *Config) codec() (protocol.Codec, int) {
	switch c.CompressionType {
	case "gzip":
		return protocol.CodecGzip, int(c.GzipLevel)
	case "snappy":
		return protocol.CodecSnappy, 0
	case "lz4":
		return protocol.CodecLZ4, int(c.LZ4Level)
	case "zstd":
		return protocol.CodecZstd, int(c.ZstdLevel)
	}
	return protocol.CodecNone, 0
}

func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q has no port between 1 and 65535", addr)
	}
	return nil
}
