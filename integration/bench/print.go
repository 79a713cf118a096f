package main

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
)

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "Apache Kafka %s, one broker, acks=all, idempotent, batch.size %d, linger.ms %d, compression.type %s, %s\n\n",
		r.Kafka, r.BatchSize, r.LingerMs, r.Codec, map[bool]string{true: "without and with TLS", false: "no TLS"}[r.TLS])
	if len(r.Produce) > 0 {
		fmt.Fprintln(t, "value\tkgo records/s\tspoold records/s\tratio\tkgo ns CPU\tspoold ns CPU\t")
		for _, c := range r.Produce {
			fmt.Fprintf(t, "%d B\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t\n", c.Size, c.KgoRate, c.SpooldRate, c.Ratio, c.KgoNanos, c.SpooldNanos)
		}
	}
	_ = t.Flush() // to a terminal or a pipe: nothing to be done
	if len(r.Txn) > 0 {
		fmt.Fprintln(w)
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "records a transaction\tcallers\tkgo, one client/s\tkgo, a client a caller/s\tspoold/s\tto one client\t")
		for _, x := range r.Txn {
			many := "-"
			if x.ManyKgo > 0 {
				many = fmt.Sprintf("%.1f", x.ManyKgo)
			}
			fmt.Fprintf(t, "%d\t%d\t%.1f\t%s\t%.1f\t%.2f\t\n", x.Records, x.Callers, x.OneKgo, many, x.Spoold, x.Spoold/x.OneKgo)
		}
		_ = t.Flush() // as above
	}
	r.printTLS(w)
	for _, m := range r.Memory {
		fmt.Fprintf(w, "\n1,000 partitions, buffer.memory=32MiB, %s: at most %.1f MiB of anonymous memory (the aim is below %d), at %.0f records/s\n",
			m.Go, float64(m.Sample.Anon)/(1<<20), memoryAim, m.Sample.rate())
	}
	if m := r.Telemetry; m != nil {
		fmt.Fprintf(w, "\ntelemetry, %d HTTP clients: %.0f accepted/s without, %.0f with metrics and traces exported, a page open and Prometheus: %.1f %% less; CPU per record %.0f and %.0f ns\n",
			telemetryClients, m.OffRate, m.OnRate, m.CostPercent, m.OffNanos, m.OnNanos)
	}
	if len(r.HTTP) > 0 {
		fmt.Fprintln(w)
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "HTTP clients\taccepted/s\tp50 ms\tp99 ms\t")
		for _, h := range r.HTTP {
			fmt.Fprintf(t, "%d\t%.0f\t%.2f\t%.2f\t\n", h.Clients, h.Rate, h.P50, h.P99)
		}
		_ = t.Flush() // as above
	}
}

// printTLS writes what TLS costs each contender.
func (r *report) printTLS(w io.Writer) {
	for _, c := range r.Produce {
		if t := c.TLS; t != nil {
			fmt.Fprintf(w, "\n%d B with TLS: kgo %.0f records/s (%.2f of without), %.0f ns CPU more a record; spoold %.0f records/s (%.2f), %.0f ns CPU more\n",
				c.Size, t.KgoRate, t.KgoShare, t.KgoAdding, t.SpooldRate, t.SpooldShare, t.SpooldAdding)
		}
	}
}

// svg draws records/s as bars, kgo grey and spoold blue, each size to its own scale.
func (r *report) svg() []byte {
	const bar, gap, left, width = 22, 14, 150, 420
	var b bytes.Buffer
	height := 40
	y := 30
	line := func(label string, value, high float64, colour, text string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/><text x="%.0f" y="%d">%s</text>`+"\n",
			left-8, y+16, label, left, y, width*value/high, bar-4, colour, left+width*value/high+6, y+16, text)
		y += bar
	}
	for _, c := range r.Produce {
		high := max(c.KgoRate, c.SpooldRate)
		line(fmt.Sprintf("kgo, %d B", c.Size), c.KgoRate, high, "#999", fmt.Sprintf("%.0f records/s, in memory", c.KgoRate))
		line(fmt.Sprintf("spoold, %d B", c.Size), c.SpooldRate, high, "#36c", fmt.Sprintf("%.0f records/s, every one on disk", c.SpooldRate))
		y += gap
	}
	var high float64
	for _, h := range r.HTTP {
		high = max(high, h.Rate)
	}
	for _, h := range r.HTTP {
		line(fmt.Sprintf("HTTP, %d clients", h.Clients), h.Rate, high, "#36c", fmt.Sprintf("%.0f accepted/s, p99 %.1f ms", h.Rate, h.P99))
	}
	height += y
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n%s</svg>\n",
		left+width+230, height, b.String())
}
