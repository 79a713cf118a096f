package spoold

import (
	"errors"
	"maps"
	"slices"

	"github.com/spoold/spoold/internal/keytable"
)

// Key is what there is to say of one configuration key: `spoold config explain` and the reference page are made of it.
type Key struct {
	Name    string   // a name that ends in a dot stands for all that begin so
	Aliases []string // other spellings of it: librdkafka's
	Kind    string   // text, list, bool, int, size, ms, duration or choice
	Default string   // "": none
	// Min and Max bound numbers: bytes for sizes, milliseconds for times. Max 0: the type's own.
	Min, Max int64
	Also     []int64 // numbers outside of Min to Max that are taken
	Range    string  // the two in words: "-1, or from 1 to 9"
	Choices  []string
	Help     string
	// Note is a warning that comes when the key is set or, if it does not work, why not.
	Note   string
	Kafka  bool // a key of a Kafka client
	Secret bool // its value is never printed
	// References: its value may be ${env:NAME} or ${file:PATH}.
	References bool
	// Works is false for keys that are known and do nothing. Setting one to anything but Harmless is a warning, or
	// an error if it is Refused.
	Works, Refused bool
	Harmless       []string
}

// Keys are all keys, in the order in which they should be printed: a copy.
func Keys() []Key {
	var list []Key
	for _, s := range table.Specs() {
		list = append(list, Key{Name: s.Name, Aliases: s.Aliases, Kind: string(s.Kind), Default: s.Default, Min: s.Min, Max: s.Max, Also: s.Also, Range: s.Range(),
			Choices: s.Choices, Help: s.Help, Note: s.Note, Kafka: s.Kafka, Secret: s.Secret, References: s.Secret || s.References, Works: s.Effect == keytable.Works, Refused: s.Effect == keytable.Refused, Harmless: s.Harmless})
	}
	return list
}

// KeyOf is the name of a key that may be given in another spelling, and whether there is such a key.
func KeyOf(spelling string) (name string, ok bool) {
	name, _, ok = table.Find(spelling)
	return name, ok
}

type (
	row  = keytable.Row[Config]
	spec = keytable.Spec
)

var table = keytable.New(kafkaKeys, securityKeys, ownKeys, inertKeys)

const maxInt32 = 1<<31 - 1

// leastAge is the least spool.max.age, in ms: with less, records are gone before a broker that is there has taken them.
const leastAge = 100

var kafkaKeys = []row{
	{Spec: spec{Name: "bootstrap.servers", Aliases: []string{"metadata.broker.list"}, Kafka: true, Kind: keytable.List, Help: "host:port of brokers for first contact, separated by commas. The others are learnt from them."},
		Field: func(c *Config) any { return &c.BootstrapServers }},
	{Spec: spec{Name: "client.id", Kafka: true, Kind: keytable.Text, Default: "spoold", Help: "Name that brokers see in their logs and quotas."},
		Field: func(c *Config) any { return &c.ClientID }},
	{Spec: spec{Name: "acks", Aliases: []string{"request.required.acks"}, Kafka: true, Kind: keytable.Text, Default: "all", Help: "Always all (or -1): acked means on all in-sync replicas."},
		Field: func(c *Config) any { return &c.Acks }, Rule: acksRule},
	{Spec: spec{Name: "enable.idempotence", Kafka: true, Kind: keytable.Bool, Default: "true", Help: "Always true: every batch carries a producer id and sequence."},
		Field: func(c *Config) any { return &c.EnableIdempotence }, Rule: idempotenceRule},
	{Spec: spec{Name: "retries", Aliases: []string{"message.send.max.retries"}, Kafka: true, Kind: keytable.Int, Default: "2147483647", Min: 1, Max: maxInt32,
		Help: "Accepted for Kafka's sake. A spooled record is retried until it is acked or refused for good.",
		Note: "does not limit spoold, which retries a spooled record until it is acked or refused for good"},
		Field: func(c *Config) any { return &c.Retries }},
	{Spec: spec{Name: "max.in.flight.requests.per.connection", Aliases: []string{"max.in.flight"}, Kafka: true, Kind: keytable.Int, Default: "5", Min: 1, Max: 5,
		Help: "Unanswered batches per partition. A broker recognises a producer's last five, so never more."},
		Field: func(c *Config) any { return &c.MaxInFlight }},
	{Spec: spec{Name: "delivery.timeout.ms", Aliases: []string{"message.timeout.ms"}, Kafka: true, Kind: keytable.Millis, Min: 0, Max: maxInt32,
		Help: "How long a spooled record is tried, from its commit or from the last start. Then it expires: it becomes a dead letter with the code REQUEST_TIMED_OUT, is counted expired, and its callback gets the error; what may be in the log already is resolved first. 0 or not given: it is delivered however long the outage was. Without transactional.id only."},
		Field: func(c *Config) any { return &c.DeliveryTimeout }},
	{Spec: spec{Name: "request.timeout.ms", Aliases: []string{"socket.timeout.ms"}, Kafka: true, Kind: keytable.Millis, Default: "30000", Min: 100, Max: maxInt32,
		Help: "How long to wait for a broker's answer before the connection is given up. Keep it above the brokers' replica.lag.time.max.ms."},
		Field: func(c *Config) any { return &c.RequestTimeout }},
	{Spec: spec{Name: "linger.ms", Aliases: []string{"queue.buffering.max.ms"}, Kafka: true, Kind: keytable.Millis, Default: "5", Min: 0, Max: maxInt32,
		Help: "How long a batch waits for company. It never delays the sync to disk."},
		Field: func(c *Config) any { return &c.Linger }},
	{Spec: spec{Name: "batch.size", Kafka: true, Kind: keytable.Size, Default: "128KiB", Min: 0, Max: 64 << 20,
		Help: "Bytes at which a batch is full, as it goes on the wire: compressed records are counted by an estimate per topic, up to 16 times as many bytes before compression and an eighth of what batches have of buffer.memory. Kafka's default is 16384; each batch costs a seal on disk here, and five larger ones keep a partition busy while a sync is under way."},
		Field: func(c *Config) any { return &c.BatchSize }},
	{Spec: spec{Name: "buffer.memory", Kafka: true, Kind: keytable.Size, Default: "32MiB", Min: 1 << 20, Max: 1 << 40,
		Help: "Memory for groups, batches, the copies that they are compressed into, and read-ahead together: at most 16 MiB, and at most half, is for what is not a batch. The backlog is on disk, not here."},
		Field: func(c *Config) any { return &c.BufferMemory }},
	{Spec: spec{Name: "max.block.ms", Kafka: true, Kind: keytable.Millis, Default: "60000", Min: 0, Max: 1 << 53,
		Help: "How long Send waits for room in the spool before it answers that it is full."},
		Field: func(c *Config) any { return &c.MaxBlock }},
	{Spec: spec{Name: "max.request.size", Aliases: []string{"message.max.bytes"}, Kafka: true, Kind: keytable.Size, Default: "1MiB", Min: 1024, Max: 256 << 20,
		Help: "Largest record (as it stands in a batch, not compressed) and largest Produce request of more than one batch."},
		Field: func(c *Config) any { return &c.MaxRequestSize }},
	{Spec: spec{Name: "partitioner.class", Aliases: []string{"partitioner"}, Kafka: true, Kind: keytable.Choice, Choices: partitionerNames(),
		Help: "Where records go that name no partition. Not given, or murmur2_random: as Kafka's client places them, by murmur2 of the key, and without a key where the ones before went until a batch is full. RoundRobinPartitioner; librdkafka's consistent (CRC-32), consistent_random (its default), murmur2, fnv1a, fnv1a_random, random; sarama (fnv1a_random). With another one, records of a key that wait may go to another partition than those before: change it when nothing is pending."},
		Field: func(c *Config) any { return &c.PartitionerClass }},
	{Spec: spec{Name: "partitioner.ignore.keys", Kafka: true, Kind: keytable.Bool, Default: "false", Help: "Place records with a key as those without one."},
		Field: func(c *Config) any { return &c.IgnoreKeys }},
	{Spec: spec{Name: "partitioner.adaptive.partitioning.enable", Kafka: true, Kind: keytable.Bool, Default: "true",
		Help: "Give records without a key more often to partitions with short queues; false: to all of them alike."},
		Field: func(c *Config) any { return &c.Adaptive }},
	{Spec: spec{Name: "partitioner.availability.timeout.ms", Kafka: true, Kind: keytable.Millis, Default: "0", Min: 0, Max: 1 << 53,
		Help: "Give records without a key to no partition whose broker has taken nothing for so long though something was ready for it; 0: to any. A partition without a leader or a connection is always left out, as long as there is another one."},
		Field: func(c *Config) any { return &c.Availability }},
	{Spec: spec{Name: "compression.type", Aliases: []string{"compression.codec"}, Kafka: true, Kind: keytable.Choice, Default: "none", Choices: []string{"none", "gzip", "snappy", "lz4", "zstd"},
		Help: "Codec of the batches that are sent."},
		Field: func(c *Config) any { return &c.CompressionType }},
	{Spec: spec{Name: "compression.gzip.level", Kafka: true, Kind: keytable.Int, Default: "-1", Min: 1, Max: 9, Also: []int64{-1}, Help: "1 (fast) to 9 (small); -1 is gzip's own default."},
		Field: func(c *Config) any { return &c.GzipLevel }},
	{Spec: spec{Name: "compression.lz4.level", Kafka: true, Kind: keytable.Int, Default: "9", Min: 1, Max: 17, Help: "1 (fast) to 17 (small)."},
		Field: func(c *Config) any { return &c.LZ4Level }},
	{Spec: spec{Name: "compression.zstd.level", Kafka: true, Kind: keytable.Int, Default: "3", Min: -131072, Max: 22, Help: "Negative is faster, 22 is smallest."},
		Field: func(c *Config) any { return &c.ZstdLevel }},
	{Spec: spec{Name: "compression.level", Kafka: true, Kind: keytable.Int, Default: "-1", Min: 1, Max: 12, Also: []int64{-1},
		Help: "Level of whatever codec is chosen, in place of the three above; -1: they say it (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.CompressionLevel }, Rule: levelRule},
	{Spec: spec{Name: "transactional.id", Kafka: true, Kind: keytable.Text,
		Help: "Deliver in Kafka transactions under this id: what a client commits, and each batch, becomes visible wholly or not at all. One spool at a time uses an id."},
		Field: func(c *Config) any { return &c.TransactionalID }, Rule: transactionalRule},
	{Spec: spec{Name: "transaction.timeout.ms", Kafka: true, Kind: keytable.Millis, Default: "60000", Min: 100, Max: maxInt32,
		Help: "How long a transaction may last before its coordinator, or spoold if a client left it open, aborts it. At most the brokers' transaction.max.timeout.ms (15 minutes)."},
		Field: func(c *Config) any { return &c.TransactionTimeout }},
	{Spec: spec{Name: "metadata.max.age.ms", Aliases: []string{"topic.metadata.refresh.interval.ms"}, Kafka: true, Kind: keytable.Millis, Default: "300000", Min: 1000, Max: 1 << 53,
		Help: "How often the cluster's layout is asked for when nothing else asks."},
		Field: func(c *Config) any { return &c.MetadataMaxAge }},
	{Spec: spec{Name: "metadata.max.idle.ms", Kafka: true, Kind: keytable.Millis, Default: "300000", Min: 5000, Max: 1 << 53,
		Help: "How long a topic that no record waits for is still asked about."},
		Field: func(c *Config) any { return &c.MetadataMaxIdle }},
	{Spec: spec{Name: "metadata.recovery.rebootstrap.trigger.ms", Kafka: true, Kind: keytable.Millis, Default: "300000", Min: 0, Max: 1 << 53,
		Help: "When no broker has described the cluster for so long since one was asked in vain, all connections are ended and bootstrap.servers looked up and asked anew. With no connection left, or when a broker asks for it, that is done at once."},
		Field: func(c *Config) any { return &c.Rebootstrap }},
	{Spec: spec{Name: "enable.metrics.push", Kafka: true, Kind: keytable.Bool, Default: "true",
		Help: "Push those metrics to the cluster that it asks for (KIP-714). A cluster without a receiver of clients' metrics asks for none."},
		Field: func(c *Config) any { return &c.PushMetrics }},
	{Spec: spec{Name: "retry.backoff.ms", Kafka: true, Kind: keytable.Millis, Default: "100", Min: 1, Max: maxInt32, Help: "First pause before a batch is sent once more; it doubles."},
		Field: func(c *Config) any { return &c.RetryBackoff }},
	{Spec: spec{Name: "retry.backoff.max.ms", Kafka: true, Kind: keytable.Millis, Default: "1000", Min: 1, Max: maxInt32, Help: "Longest such pause."},
		Field: func(c *Config) any { return &c.RetryBackoffMax }},
	{Spec: spec{Name: "reconnect.backoff.ms", Kafka: true, Kind: keytable.Millis, Default: "50", Min: 1, Max: maxInt32, Help: "First pause before a broker is dialled again; it doubles, with jitter."},
		Field: func(c *Config) any { return &c.ReconnectBackoff }},
	{Spec: spec{Name: "reconnect.backoff.max.ms", Kafka: true, Kind: keytable.Millis, Default: "1000", Min: 1, Max: maxInt32, Help: "Longest such pause."},
		Field: func(c *Config) any { return &c.ReconnectMax }},
	{Spec: spec{Name: "socket.connection.setup.timeout.ms", Kafka: true, Kind: keytable.Millis, Default: "10000", Min: 10, Max: maxInt32, Help: "How long a connection may take to open, at first; it doubles with each failure."},
		Field: func(c *Config) any { return &c.ConnectTimeout }},
	{Spec: spec{Name: "socket.connection.setup.timeout.max.ms", Kafka: true, Kind: keytable.Millis, Default: "30000", Min: 10, Max: maxInt32, Help: "The most it may take."},
		Field: func(c *Config) any { return &c.ConnectTimeoutMax }},
	{Spec: spec{Name: "connections.max.idle.ms", Kafka: true, Kind: keytable.Millis, Default: "540000", Min: -1, Max: 1 << 53, Help: "Connections that are idle for so long are closed; -1: never. Just under the brokers' own 10 minutes."},
		Field: func(c *Config) any { return &c.ConnectionsMaxIdle }},
	{Spec: spec{Name: "send.buffer.bytes", Aliases: []string{"socket.send.buffer.bytes"}, Kafka: true, Kind: keytable.Size, Default: "128KiB", Min: -1, Max: maxInt32, Help: "Socket's send buffer; -1 is the system's."},
		Field: func(c *Config) any { return &c.SendBuffer }},
	{Spec: spec{Name: "receive.buffer.bytes", Aliases: []string{"socket.receive.buffer.bytes"}, Kafka: true, Kind: keytable.Size, Default: "32KiB", Min: -1, Max: maxInt32, Help: "Socket's receive buffer; -1 is the system's."},
		Field: func(c *Config) any { return &c.ReceiveBuffer }},
}

var ownKeys = []row{
	{Spec: spec{Name: "spool.path", Kind: keytable.Text, Help: "Directory of the spool. It is made if missing, and locked by one process at a time."},
		Field: func(c *Config) any { return &c.SpoolPath }},
	{Spec: spec{Name: "spool.max.bytes", Kind: keytable.Size, Default: "8GiB", Min: 1 << 20, Max: 1 << 50, Help: "Size at which Send waits, and after max.block.ms is refused. At least twice spool.segment.bytes, where that is set."},
		Field: func(c *Config) any { return &c.SpoolMaxBytes }},
	{Spec: spec{Name: "spool.max.age", Kind: keytable.Duration, Default: "0s", Min: leastAge, Max: 3650 * 24 * 3600_000, Also: []int64{0},
		Help: "How long a record may wait in the spool. Then it is dropped, up to about a fifteenth of that time later: counted expired, with an error for its callback, a line in the log (records.dropped) and its place in spoold ls; it is no dead letter. What may be in the log already is resolved first. Counted from its commit, on the spool's clock: that goes on over restarts, stands still over a reboot while nothing runs, and follows no step of the wall clock. What was spooled before the key was set counts from the first start with it. 0s: no limit. Less than 100ms is refused: it would drop all that the cluster does not take at once. Without transactional.id only."},
		Field: func(c *Config) any { return &c.SpoolMaxAge }},
	{Spec: spec{Name: "topic.quota.bytes", Kind: keytable.Size, Default: "0", Min: leastQuota, Max: 1 << 50, Also: []int64{0},
		Help: "What the records of one topic that wait may take of the spool, in bytes as they are kept there; topic.quota.full says what happens then. A topic at its quota stops no other topic. Dead letters do not count; a client transaction that was staged counts when it is committed, whatever the quota. A start counts what waits already; a start with less than that takes no records for the topic until enough is delivered. At least 64KiB; 0: no quota."},
		Field: func(c *Config) any { return &c.TopicQuota }},
	{Spec: spec{Name: "topic.quota.full", Kind: keytable.Choice, Default: "block", Choices: quotaPolicies,
		Help: "What to do with a record for a topic at its quota. block: Send waits, and after max.block.ms it is refused (HTTP answers 429). reject: it is refused at once. drop-oldest: the oldest records of the topic are dropped from 15/16 of the quota on, down to 7/8: counted expired, with an error for their callbacks, a line in the log (records.dropped) and their places in spoold ls; they are no dead letters. What may be in the log already is not dropped: as long as that takes all of the quota, Send waits as with block. Under transactional.id drop-oldest is block."},
		Field: func(c *Config) any { return &c.TopicQuotaFull }},
	{Spec: spec{Name: "topic.quota.topics", Kind: keytable.List,
		Help: "Topics with a quota of their own, separated by commas: TOPIC=BYTES, or TOPIC=BYTES:POLICY with a value of topic.quota.full, such as audit=2GiB:reject, debug=64MiB:drop-oldest, orders=0 (no quota). Otherwise a quota is at least 64KiB."},
		Field: func(c *Config) any { return &c.TopicQuotas }, Rule: quotasRule},
	{Spec: spec{Name: "spool.corrupt", Kind: keytable.Choice, Default: "quarantine", Choices: []string{"quarantine", "stop"},
		Help: "What to do about a damaged segment that holds records only. quarantine: its file is renamed and kept, what its checksums vouch for is delivered, the rest is recorded range by range and counted as lost. stop: nothing is sent, exit code 65. Damage to the spool's state always stops."},
		Field: func(c *Config) any { return &c.SpoolCorrupt }},
	{Spec: spec{Name: "spool.min.free.bytes", Kind: keytable.Size, Default: "1GiB", Min: 0, Max: 1 << 50, Help: "Free space of the file system below which new records are refused. Delivery goes on."},
		Field: func(c *Config) any { return &c.SpoolMinFreeBytes }},
	{Spec: spec{Name: "spool.settle.ms", Kind: keytable.Millis, Default: "1000", Min: 1, Max: 3600_000, Help: "Quiet after which acks that are not on disk yet get a commit of their own."},
		Field: func(c *Config) any { return &c.SpoolSettle }},
	{Spec: spec{Name: "timestamp.ahead.max.ms", Kind: keytable.Millis, Default: "3600000", Min: 0, Max: 1 << 53,
		Help: "How far a record's own timestamp may be ahead of this host's clock; else it is refused, unless the clock is before the program's build or the spool's last change. 0: however far."},
		Field: func(c *Config) any { return &c.TimestampAhead }},
	{Spec: spec{Name: "spool.segment.bytes", Kind: keytable.Size, Default: "0", Min: leastSegment, Max: 4 << 30, Also: []int64{0},
		Help: "Live bytes at which a new segment file is begun: at least 64KiB. 0: 64MiB, but no more than a sixteenth of spool.max.bytes."},
		Field: func(c *Config) any { return &c.SpoolSegmentBytes }},

	{Spec: spec{Name: "dlq.max.bytes", Kind: keytable.Size, Default: "0", Min: 0, Max: 1 << 50,
		Help: "What dead letters may take of the spool, in bytes of their records; dlq.full says what happens then. 0: a quarter of what the spool may own."},
		Field: func(c *Config) any { return &c.DeadLetterBytes }},
	{Spec: spec{Name: "dlq.full", Kind: keytable.Choice, Default: "block", Choices: []string{"block", "drop-oldest"},
		Help: "What to do when dead letters take all of dlq.max.bytes. block: none is dropped; a record that the cluster refuses waits, and its partition with it, until others were replayed or dropped. What is under way then, what an operator puts aside and, with transactional.id, every refused unit goes above the limit: the spool is full the sooner. drop-oldest: the oldest are lost, with transactional.id by whole transactions and batches, with a line in the log (dlq.dropped) and a record in the spool. A full spool that has no room for more of them does the same, whatever dlq.max.bytes is; drop-oldest drops a sixteenth of them at a time then."},
		Field: func(c *Config) any { return &c.DeadLetterFull }},
	{Spec: spec{Name: "dlq.topic", Kind: keytable.Text,
		Help: "Topic that dead letters are sent to, through the same spool and once each, with the headers that Kafka Connect gives them (__connect.errors.topic, .partition, .offset, .exception.class.name, .exception.message and so on); then they are none any more. What that topic refuses stays a dead letter. Not given: dead letters stay in the spool."},
		Field: func(c *Config) any { return &c.DeadLetterTopic }},

	{Spec: spec{Name: "spool.max.topics", Kind: keytable.Int, Default: "10000", Min: 1, Max: 1_000_000,
		Help: "How many topics the spool may ever have had records for: each takes memory and room on the disk for good. Records for one more are refused."},
		Field: func(c *Config) any { return &c.SpoolMaxTopics }},

	{Spec: spec{Name: "spool.state.max.bytes", Kind: keytable.Size, Default: "0", Min: 0, Max: 1 << 40,
		Help: "What the spool may keep besides records (topics, notes, seals) before new topics and notes are refused. 0: a 64th of what the spool may own."},
		Field: func(c *Config) any { return &c.SpoolStateMax }},

	{Spec: spec{Name: "spool.commit.max.bytes", Kind: keytable.Size, Default: "10MiB", Min: 1024, Max: 1 << 30,
		Help: "Largest batch of SendBatch, which is one commit; never less than max.request.size."},
		Field: func(c *Config) any { return &c.SpoolCommitMax }},

	{Spec: spec{Name: "idempotency.window", Kind: keytable.Duration, Default: "24h", Min: 15 * 60_000, Max: 30 * 24 * 3600_000, Help: "How long an idempotency key is remembered."},
		Field: func(c *Config) any { return &c.IdempotencyWindow }},
	{Spec: spec{Name: "idempotency.max.keys", Kind: keytable.Int, Default: "500000", Min: 1000, Max: 100_000_000, Help: "How many keys are remembered; the oldest are dropped, but none younger than 15 minutes."},
		Field: func(c *Config) any { return &c.IdempotencyKeys }},

	{Spec: spec{Name: "idempotency.max.bytes", Kind: keytable.Size, Default: "0", Min: 0, Max: 1 << 40,
		Help: "What idempotency keys may take on the disk, at 64 bytes each: it bounds their number beside idempotency.max.keys. 0: an eighth of what the spool may own."},
		Field: func(c *Config) any { return &c.IdempotencyBytes }},

	{Spec: spec{Name: "producer.state.margin", Kind: keytable.Duration, Default: "20h", Min: 60_000, Max: 30 * 24 * 3600_000,
		Help: "Age up to which a broker surely remembers a batch. Keep it under the brokers' producer.id.expiration.ms (24h)."},
		Field: func(c *Config) any { return &c.ProducerStateMargin }},
	{Spec: spec{Name: "topics.create", Aliases: []string{"allow.auto.create.topics"}, Kind: keytable.Bool, Default: "true", Help: "Let the cluster create topics that do not exist, where it is set up to."},
		Field: func(c *Config) any { return &c.TopicsCreate }},
	{Spec: spec{Name: "unit.memory.bytes", Kind: keytable.Size, Default: "64MiB", Min: 1 << 20, Max: 1 << 40,
		Help: "Memory for the records of client transactions that are open and not committed, together."},
		Field: func(c *Config) any { return &c.UnitMemory }},
	{Spec: spec{Name: "unit.staged.bytes", Kind: keytable.Size, Default: "2GiB", Min: 1 << 20, Max: 1 << 46,
		Help: "Disk for the records of client transactions that are open and do not fit into memory, together."},
		Field: func(c *Config) any { return &c.UnitStaged }},
	{Spec: spec{Name: "callbacks.max", Kind: keytable.Int, Default: "16384", Min: 1, Max: 10_000_000, Help: "Callbacks of SendFunc that may be outstanding; the next one waits (max.block.ms). Library only."},
		Field: func(c *Config) any { return &c.CallbacksMax }},
}

// partitionerNames are the values of partitioner.class.
func partitionerNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(partitioners)), func(name string) bool { return name == "" })
}

func acksRule(c *Config) error {
	if c.Acks != "all" && c.Acks != "-1" {
		return errors.New("spoold delivers with acks=all only: anything less can lose what was acked")
	}
	return nil
}

func idempotenceRule(c *Config) error {
	if !c.EnableIdempotence {
		return errors.New("spoold delivers idempotently only: without it a retry can duplicate")
	}
	return nil
}

func levelRule(c *Config) error {
	if c.CompressionType == "gzip" && c.CompressionLevel > 9 {
		return errors.New("must be -1, or 1 to 9, for gzip")
	}
	return nil
}
