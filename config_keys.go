package spoold

import (
	"fmt"
	"strings"
)

// Kind is how a key's value is written.
type Kind string

// Kinds of values.
const (
	KindText     Kind = "text"
	KindList     Kind = "list"     // comma-separated
	KindBool     Kind = "bool"     // true or false
	KindInt      Kind = "int"      // a whole number
	KindSize     Kind = "size"     // bytes: 16384, 64KiB, 10MiB, 8GiB
	KindMillis   Kind = "ms"       // a plain number is milliseconds; 5s works too
	KindDuration Kind = "duration" // 30s, 24h, 7d
	KindChoice   Kind = "choice"   // one of Choices
)

// Key is one row of the table of configuration keys: the source of names, types, ranges,
// defaults and help for the file, the flags, `spoold config print` and the reference page.
type Key struct {
	Name    string
	Kind    Kind
	Default string // "": none
	// Min and Max bound numbers: bytes for sizes, milliseconds for times. Max 0: the type's own.
	Min, Max int64
	Choices  []string
	Help     string
	// Note is told as a warning whenever the key is set.
	Note  string
	Kafka bool // one of Kafka's producer keys: under `kafka:` in the file
	field func(*Config) any
	rule  func(c *Config) error
}

// Keys is the table, in the order in which it should be printed. Do not change it.
func Keys() []Key { return keys }

const maxInt32 = 1<<31 - 1

var keys = []Key{
	{Name: "bootstrap.servers", Kafka: true, Kind: KindList, Help: "host:port of brokers for first contact, separated by commas. The others are learnt from them.",
		field: func(c *Config) any { return &c.BootstrapServers }},
	{Name: "client.id", Kafka: true, Kind: KindText, Default: "spoold", Help: "Name that brokers see in their logs and quotas.",
		field: func(c *Config) any { return &c.ClientID }},
	{Name: "acks", Kafka: true, Kind: KindText, Default: "all", Help: "Always all (or -1): acked means on all in-sync replicas.",
		field: func(c *Config) any { return &c.Acks }, rule: acksRule},
	{Name: "enable.idempotence", Kafka: true, Kind: KindBool, Default: "true", Help: "Always true: every batch carries a producer id and sequence.",
		field: func(c *Config) any { return &c.EnableIdempotence }, rule: idempotenceRule},
	{Name: "retries", Kafka: true, Kind: KindInt, Default: "2147483647", Min: 1, Max: maxInt32,
		Help:  "Accepted for Kafka's sake. A spooled record is retried until it is acked or refused for good.",
		Note:  "does not limit spoold, which retries a spooled record until it is acked or refused for good",
		field: func(c *Config) any { return &c.Retries }},
	{Name: "max.in.flight.requests.per.connection", Kafka: true, Kind: KindInt, Default: "5", Min: 1, Max: 5,
		Help:  "Unanswered batches per partition. A broker recognises a producer's last five, so never more.",
		field: func(c *Config) any { return &c.MaxInFlight }},
	{Name: "delivery.timeout.ms", Kafka: true, Kind: KindMillis, Min: 0, Max: maxInt32,
		Help:  "Accepted for Kafka's sake. A spooled record does not expire: it is delivered however long the outage was.",
		Note:  "does not apply to spooled records, which are kept until they are delivered",
		field: func(c *Config) any { return &c.DeliveryTimeout }},
	{Name: "request.timeout.ms", Kafka: true, Kind: KindMillis, Default: "30000", Min: 100, Max: maxInt32,
		Help:  "How long to wait for a broker's answer before the connection is given up. Keep it above the brokers' replica.lag.time.max.ms.",
		field: func(c *Config) any { return &c.RequestTimeout }},
	{Name: "linger.ms", Kafka: true, Kind: KindMillis, Default: "5", Min: 0, Max: maxInt32,
		Help:  "How long a batch waits for company. It never delays the sync to disk.",
		field: func(c *Config) any { return &c.Linger }},
	{Name: "batch.size", Kafka: true, Kind: KindSize, Default: "128KiB", Min: 0, Max: 64 << 20,
		Help:  "Bytes of records at which a batch is full, before compression. Kafka's default is 16384; each batch costs a seal on disk here, and five larger ones keep a partition busy while a sync is under way.",
		field: func(c *Config) any { return &c.BatchSize }},
	{Name: "buffer.memory", Kafka: true, Kind: KindSize, Default: "32MiB", Min: 1 << 20, Max: 1 << 40,
		Help:  "Memory for groups, batches and read-ahead together. The backlog is on disk, not here.",
		field: func(c *Config) any { return &c.BufferMemory }},
	{Name: "max.block.ms", Kafka: true, Kind: KindMillis, Default: "60000", Min: 0, Max: 1 << 53,
		Help:  "How long Send waits for room in the spool before it answers that it is full.",
		field: func(c *Config) any { return &c.MaxBlock }},
	{Name: "max.request.size", Kafka: true, Kind: KindSize, Default: "1MiB", Min: 1024, Max: 256 << 20,
		Help:  "Largest record (as it stands in a batch, not compressed) and largest Produce request of more than one batch.",
		field: func(c *Config) any { return &c.MaxRequestSize }},
	{Name: "compression.type", Kafka: true, Kind: KindChoice, Default: "none", Choices: []string{"none", "gzip", "snappy", "lz4", "zstd"},
		Help:  "Codec of the batches that are sent.",
		field: func(c *Config) any { return &c.CompressionType }},
	{Name: "compression.gzip.level", Kafka: true, Kind: KindInt, Default: "-1", Min: -1, Max: 9, Help: "1 (fast) to 9 (small); -1 is gzip's own default.",
		field: func(c *Config) any { return &c.GzipLevel }, rule: gzipRule},
	{Name: "compression.lz4.level", Kafka: true, Kind: KindInt, Default: "9", Min: 1, Max: 17, Help: "1 (fast) to 17 (small).",
		field: func(c *Config) any { return &c.LZ4Level }},
	{Name: "compression.zstd.level", Kafka: true, Kind: KindInt, Default: "3", Min: -131072, Max: 22, Help: "Negative is faster, 22 is smallest.",
		field: func(c *Config) any { return &c.ZstdLevel }},
	{Name: "metadata.max.age.ms", Kafka: true, Kind: KindMillis, Default: "300000", Min: 1000, Max: 1 << 53,
		Help:  "How often the cluster's layout is asked for when nothing else asks.",
		field: func(c *Config) any { return &c.MetadataMaxAge }},
	{Name: "retry.backoff.ms", Kafka: true, Kind: KindMillis, Default: "100", Min: 1, Max: maxInt32, Help: "First pause before a batch is sent once more; it doubles.",
		field: func(c *Config) any { return &c.RetryBackoff }},
	{Name: "retry.backoff.max.ms", Kafka: true, Kind: KindMillis, Default: "1000", Min: 1, Max: maxInt32, Help: "Longest such pause.",
		field: func(c *Config) any { return &c.RetryBackoffMax }},
	{Name: "reconnect.backoff.ms", Kafka: true, Kind: KindMillis, Default: "50", Min: 1, Max: maxInt32, Help: "First pause before a broker is dialled again; it doubles, with jitter.",
		field: func(c *Config) any { return &c.ReconnectBackoff }},
	{Name: "reconnect.backoff.max.ms", Kafka: true, Kind: KindMillis, Default: "1000", Min: 1, Max: maxInt32, Help: "Longest such pause.",
		field: func(c *Config) any { return &c.ReconnectMax }},
	{Name: "socket.connection.setup.timeout.ms", Kafka: true, Kind: KindMillis, Default: "10000", Min: 10, Max: maxInt32, Help: "How long a connection may take to open, at first; it doubles with each failure.",
		field: func(c *Config) any { return &c.ConnectTimeout }},
	{Name: "socket.connection.setup.timeout.max.ms", Kafka: true, Kind: KindMillis, Default: "30000", Min: 10, Max: maxInt32, Help: "The most it may take.",
		field: func(c *Config) any { return &c.ConnectTimeoutMax }},
	{Name: "connections.max.idle.ms", Kafka: true, Kind: KindMillis, Default: "540000", Min: -1, Max: 1 << 53, Help: "Connections that are idle for so long are closed; -1: never. Just under the brokers' own 10 minutes.",
		field: func(c *Config) any { return &c.ConnectionsMaxIdle }},
	{Name: "send.buffer.bytes", Kafka: true, Kind: KindSize, Default: "128KiB", Min: -1, Max: maxInt32, Help: "Socket's send buffer; -1 is the system's.",
		field: func(c *Config) any { return &c.SendBuffer }},
	{Name: "receive.buffer.bytes", Kafka: true, Kind: KindSize, Default: "32KiB", Min: -1, Max: maxInt32, Help: "Socket's receive buffer; -1 is the system's.",
		field: func(c *Config) any { return &c.ReceiveBuffer }},
	{Name: "security.protocol", Kafka: true, Kind: KindText, Default: "PLAINTEXT", Help: "PLAINTEXT. TLS and SASL are not supported yet.",
		field: func(c *Config) any { return &c.SecurityProtocol }, rule: securityRule},

	{Name: "spool.path", Kind: KindText, Help: "Directory of the spool. It is made if missing, and locked by one process at a time.",
		field: func(c *Config) any { return &c.SpoolPath }},
	{Name: "spool.max.bytes", Kind: KindSize, Default: "8GiB", Min: 1 << 20, Max: 1 << 50, Help: "Size at which Send waits, and after max.block.ms is refused.",
		field: func(c *Config) any { return &c.SpoolMaxBytes }},
	{Name: "spool.min.free.bytes", Kind: KindSize, Default: "1GiB", Min: 0, Max: 1 << 50, Help: "Free space of the file system below which new records are refused. Delivery goes on.",
		field: func(c *Config) any { return &c.SpoolMinFreeBytes }},
	{Name: "spool.settle.ms", Kind: KindMillis, Default: "1000", Min: 1, Max: 3600_000, Help: "Quiet after which acks that are not on disk yet get a commit of their own.",
		field: func(c *Config) any { return &c.SpoolSettle }},
	{Name: "spool.segment.bytes", Kind: KindSize, Default: "64MiB", Min: 64 << 10, Max: 4 << 30, Help: "Live bytes at which a new segment file is begun.",
		field: func(c *Config) any { return &c.SpoolSegmentBytes }},

	{Name: "spool.max.topics", Kind: KindInt, Default: "10000", Min: 1, Max: 1_000_000,
		Help:  "How many topics the spool may ever have had records for: each takes memory and room on the disk for good. Records for one more are refused.",
		field: func(c *Config) any { return &c.SpoolMaxTopics }},

	{Name: "idempotency.window", Kind: KindDuration, Default: "24h", Min: 15 * 60_000, Max: 30 * 24 * 3600_000, Help: "How long an idempotency key is remembered.",
		field: func(c *Config) any { return &c.IdempotencyWindow }},
	{Name: "idempotency.max.keys", Kind: KindInt, Default: "500000", Min: 1000, Max: 100_000_000, Help: "How many keys are remembered; the oldest are dropped, but none younger than 15 minutes.",
		field: func(c *Config) any { return &c.IdempotencyKeys }},

	{Name: "producer.state.margin", Kind: KindDuration, Default: "20h", Min: 60_000, Max: 30 * 24 * 3600_000,
		Help:  "Age up to which a broker surely remembers a batch. Keep it under the brokers' producer.id.expiration.ms (24h).",
		field: func(c *Config) any { return &c.ProducerStateMargin }},
	{Name: "topics.create", Kind: KindBool, Default: "true", Help: "Let the cluster create topics that do not exist, where it is set up to.",
		field: func(c *Config) any { return &c.TopicsCreate }},
	{Name: "callbacks.max", Kind: KindInt, Default: "16384", Min: 1, Max: 10_000_000, Help: "Callbacks of SendFunc that may be outstanding; the next one waits (max.block.ms). Library only.",
		field: func(c *Config) any { return &c.CallbacksMax }},

	{Name: "transactional.id", Kafka: true, Kind: KindText,
		Help:  "Deliver in Kafka transactions under this id: what a client commits, and each batch, becomes visible wholly or not at all. One spool at a time uses an id.",
		field: func(c *Config) any { return &c.TransactionalID }, rule: transactionalRule},
	{Name: "transaction.timeout.ms", Kafka: true, Kind: KindMillis, Default: "60000", Min: 100, Max: maxInt32,
		Help:  "How long a transaction may last before its coordinator, or spoold if a client left it open, aborts it. At most the brokers' transaction.max.timeout.ms (15 minutes).",
		field: func(c *Config) any { return &c.TransactionTimeout }},
	{Name: "unit.memory.bytes", Kind: KindSize, Default: "64MiB", Min: 1 << 20, Max: 1 << 40,
		Help:  "Memory for the records of client transactions that are open and not committed, together.",
		field: func(c *Config) any { return &c.UnitMemory }},

	{Name: "http.listen", Kind: KindText, Default: "127.0.0.1:8082", Help: "Address of the HTTP ingest; empty or off: none.",
		field: func(c *Config) any { return &c.HTTPListen }, rule: listenRule("http.listen", func(c *Config) string { return c.HTTPListen })},
	{Name: "http.max.body.bytes", Kind: KindSize, Default: "10MiB", Min: 1024, Max: 1 << 30, Help: "Largest body of a request.",
		field: func(c *Config) any { return &c.HTTPMaxBodyBytes }},
	{Name: "http.max.connections", Kind: KindInt, Default: "1024", Min: 1, Max: 1 << 20, Help: "Connections at a time; further ones are answered 503 and closed.",
		field: func(c *Config) any { return &c.HTTPMaxConnections }},
	{Name: "admin.listen", Kind: KindText, Default: "127.0.0.1:9095", Help: "Address of /healthz, /readyz, /metrics and /api/status; empty or off: none.",
		field: func(c *Config) any { return &c.AdminListen }, rule: listenRule("admin.listen", func(c *Config) string { return c.AdminListen })},
	{Name: "log.level", Kind: KindChoice, Default: "info", Choices: []string{"debug", "info", "warn", "error"}, Help: "Least level that is logged.",
		field: func(c *Config) any { return &c.LogLevel }},
	{Name: "log.format", Kind: KindChoice, Default: "auto", Choices: []string{"auto", "text", "json"}, Help: "auto: text on a terminal, else json.",
		field: func(c *Config) any { return &c.LogFormat }},
	{Name: "shutdown.timeout", Kind: KindDuration, Default: "20s", Min: 0, Max: 3600_000, Help: "How long a stop waits for answers from the cluster. The rest stays spooled.",
		field: func(c *Config) any { return &c.ShutdownTimeout }},
}

var keyByName = func() map[string]*Key {
	m := make(map[string]*Key, len(keys))
	for i := range keys {
		m[keys[i].Name] = &keys[i]
	}
	return m
}()

// aliases are librdkafka's names for the same thing.
var aliases = map[string]string{
	"compression.codec":    "compression.type",
	"metadata.broker.list": "bootstrap.servers",
}

// ignoredKeys mean something to Java's client only. A name that ends in a dot is a prefix.
var ignoredKeys = map[string]string{
	"key.serializer":                           "spoold takes bytes",
	"value.serializer":                         "spoold takes bytes",
	"interceptor.classes":                      "it names Java classes",
	"partitioner.class":                        "it names a Java class; spoold places records as Kafka's built-in partitioner does",
	"metric.reporters":                         "it names Java classes; see /metrics",
	"auto.include.jmx.reporter":                "there is no JMX here",
	"metrics.":                                 "it is for Java's metrics; see /metrics",
	"enable.metrics.push":                      "spoold pushes no metrics to brokers",
	"config.providers":                         "it names Java classes",
	"config.providers.":                        "it names Java classes",
	"security.providers":                       "it names Java classes",
	"client.dns.lookup":                        "all addresses of a name are tried",
	"metadata.max.idle.ms":                     "a topic with spooled records is never forgotten",
	"metadata.recovery.strategy":               "spoold always goes back to bootstrap.servers",
	"metadata.recovery.rebootstrap.trigger.ms": "spoold always goes back to bootstrap.servers",
}

// laterKeys are Kafka's keys that spoold will understand, with the one value that changes
// nothing today. A name that ends in a dot is a prefix.
var laterKeys = map[string]string{
	"transaction.two.phase.commit.enable":      "false",
	"partitioner.adaptive.partitioning.enable": "false",
	"partitioner.availability.timeout.ms":      "0",
	"partitioner.ignore.keys":                  "false",
	"sasl.":                                    "",
	"ssl.":                                     "",
}

func canonical(key string) (string, error) {
	key = strings.TrimSpace(key)
	if key == "" {
		return "", &ConfigError{Key: key, What: "empty key"}
	}
	if to, ok := aliases[key]; ok {
		return to, nil
	}
	return key, nil
}

func ignored(key string) (why string, ok bool)    { return byNameOrPrefix(ignoredKeys, key) }
func notYet(key string) (accepts string, ok bool) { return byNameOrPrefix(laterKeys, key) }

func byNameOrPrefix(m map[string]string, key string) (string, bool) {
	if v, ok := m[key]; ok {
		return v, true
	}
	for name, v := range m {
		if strings.HasSuffix(name, ".") && strings.HasPrefix(key, name) {
			return v, true
		}
	}
	return "", false
}

// hide keeps what may be a secret out of an error.
func hide(key, value string) string {
	if strings.HasPrefix(key, "sasl.") || strings.HasPrefix(key, "ssl.") {
		return ""
	}
	return value
}

func acksRule(c *Config) error {
	if c.Acks != "all" && c.Acks != "-1" {
		return fmt.Errorf("spoold delivers with acks=all only: anything less can lose what was acked")
	}
	return nil
}

func idempotenceRule(c *Config) error {
	if !c.EnableIdempotence {
		return fmt.Errorf("spoold delivers idempotently only: without it a retry can duplicate")
	}
	return nil
}

func gzipRule(c *Config) error {
	if c.GzipLevel == 0 {
		return fmt.Errorf("must be 1 to 9, or -1")
	}
	return nil
}

func securityRule(c *Config) error {
	switch c.SecurityProtocol {
	case "PLAINTEXT":
		return nil
	case "SSL", "SASL_PLAINTEXT", "SASL_SSL":
		return fmt.Errorf("not supported yet: only PLAINTEXT is")
	}
	return fmt.Errorf("must be PLAINTEXT")
}

func listenRule(name string, get func(*Config) string) func(*Config) error {
	return func(c *Config) error {
		addr := get(c)
		if addr == "" || addr == "off" {
			return nil
		}
		return checkListen(addr)
	}
}
