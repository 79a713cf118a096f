package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/spoold/spoold"
)

// WatchFiles reports the files that a daemon follows. To be called once.
func (m *Metrics) WatchFiles(list func() []spoold.FollowedFiles) error {
	b := builder{meter: m.meter}
	files := b.gauge("spoold.ship.files", "{file}", "Files that are followed, by section.")
	running := b.gauge("spoold.ship.running", "", "1 while the files of a section are followed; 0: an error ended it.")
	unreadable := b.gauge("spoold.ship.unreadable", "{file}", "Files and directories of a section that cannot be read now.")
	records := b.total("spoold.ship.records", "Records read from files, by section, since this start.")
	tooLong := b.total("spoold.ship.too_long.records", "Records of files over the limit, by section, since this start.")
	gaps := b.total("spoold.ship.gaps", "Places in files where bytes were cut off that may not have been read, by section, since this start.")
	lost := b.total("spoold.ship.gap.bytes", "Bytes of those places, as far as they are known.")
	if b.err != nil {
		return b.err
	}
	_, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, f := range list() {
			section := metric.WithAttributes(attribute.String("section", f.Section))
			o.ObserveInt64(files, f.Files, section)
			o.ObserveInt64(running, oneIf(f.Running), section)
			o.ObserveInt64(unreadable, f.Unreadable, section)
			o.ObserveInt64(records, f.Records, section)
			o.ObserveInt64(tooLong, f.TooLong, section)
			o.ObserveInt64(gaps, f.Gaps, section)
			o.ObserveInt64(lost, f.GapBytes, section)
		}
		return nil
	}, files, running, unreadable, records, tooLong, gaps, lost)
	return err
}
