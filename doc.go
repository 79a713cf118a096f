// Package spoold takes records, makes them durable on the local disk, answers,
// and delivers each of them to Apache Kafka once, in order: through kills,
// power cuts, outages of any length, broker fail-overs and restarts.
//
// # The promise
//
// Three words are used everywhere, and never for each other:
//
//   - spooled: on our disk, synced. The record survives a kill, a kernel crash and
//     power loss on a disk that honours flush. Delivery.Spooled waits for it.
//   - acked: on all in-sync replicas of the cluster (acks=all), not in a client's
//     memory. Delivery.Acked waits for it and returns partition, offset and timestamp.
//   - pending: spooled and not yet acked. It will be delivered, by this process or
//     by the next one that opens the same spool.
//
// No spooled record is lost, none is duplicated, and per topic-partition the
// order on the cluster is the order in the spool. Answers are true: nil only after
// the sync, a failure never appears later, and everything else is ErrUnknown.
//
// # Use
//
//	cfg := spoold.DefaultConfig()
//	cfg.BootstrapServers = []string{"localhost:9092"}
//	cfg.SpoolPath = "/var/lib/myapp/spool"
//	p, err := spoold.Open(cfg, spoold.Env{})
//	…
//	d, err := p.Send(ctx, spoold.Record{Topic: "audit", Value: line})
//	err = d.Spooled(ctx)      // durable here
//	ack, err := d.Acked(ctx)  // durable there
//	…
//	err = p.Close(ctx)
//
// Open needs no cluster: records for topics that are new to it are taken, and
// partitioned when the cluster appears. Send copies the record before it returns;
// it waits only while the spool is full (max.block.ms). A Delivery is a value, and
// nothing per record is kept for deliveries that nobody holds.
//
// TypedProducer sends keys and values of the program's own types; Env.Interceptors see every record and its
// acknowledgement.
//
// What an earlier process spooled is delivered too; Hooks.BatchAcked reports it, with
// Recovered set.
//
// A Producer whose spool reports an I/O error stops: Done is closed, Err says why,
// and every outcome that is not known is ErrUnknown. Open the spool again (in a new
// process, after looking at the disk): what was spooled is still there.
package spoold
