package bench

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/guptarohit/asciigraph"
)

// Print writes the result for people.
func (r *Result) Print(out io.Writer) {
	fmt.Fprintf(out, "disk of %s\n", r.Dir)
	r.Sync.print(out, "4 KiB written and synced")
	fmt.Fprintf(out, "\none caller, one record of %d bytes at a time\n", r.Size)
	r.OneSpooled.print(out, "spooled")
	if r.OneAcked.Count > 0 {
		r.OneAcked.print(out, "acked")
	}
	if r.Records == 0 {
		return
	}
	fmt.Fprintf(out, "\nas fast as possible: %s records of %d bytes\n", humanize.Comma(int64(r.Records)), r.Size)
	r.rate(out, "spooled", r.Spooled)
	r.rate(out, "acked", r.Acked)
	plot(out, "spooled records/s", r.Series.Spooled)
	if r.Acked > 0 {
		plot(out, "acked records/s", r.Series.Acked)
	}
}

func (l *Latency) print(out io.Writer, what string) {
	fmt.Fprintf(out, "  %-25s p50 %7.2f ms   p90 %7.2f ms   p99 %7.2f ms   slowest %7.2f ms   (%s times)\n",
		what, l.P50, l.P90, l.P99, l.Slowest, humanize.Comma(int64(l.Count)))
}

func (r *Result) rate(out io.Writer, what string, perSecond float64) {
	if perSecond > 0 {
		fmt.Fprintf(out, "  %-25s %s records/s   %s/s\n", what, humanize.Comma(int64(perSecond)), humanize.IBytes(uint64(perSecond*float64(r.Size))))
	}
}

// plot draws values over time. The last one is of a time that was cut short.
func plot(out io.Writer, caption string, values []float64) {
	if len(values) < 3 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", asciigraph.Plot(values[:len(values)-1], asciigraph.Height(6), asciigraph.Width(60), asciigraph.Caption(caption),
		asciigraph.LowerBound(0), asciigraph.Precision(0)))
}
