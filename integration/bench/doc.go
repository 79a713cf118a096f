// Command bench measures spoold beside franz-go's kgo, the fastest Go client, against
// one real Kafka broker in one run, and the daemon's HTTP ingest.
//
// Promise: both sides get the same broker, topic, records, batch.size, linger and
// codec, acks=all and idempotence, and run in turns, each in a process of its
// own whose CPU time is the kernel's figure. spoold has every record on disk, synced,
// and acked by the broker within the time; kgo has none on disk. Medians are
// printed, every single run is in the JSON file.
//
//	go run .            # a table, bench.json and bench.svg in the working directory
//	go run . -help
package main
