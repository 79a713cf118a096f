package httpin

import (
	"bytes"
	"encoding/json"
	"mime"
	"unicode/utf8"

	"github.com/spoold/spoold"
)

// unitsPath takes records for any topics, one JSON object a line: all of them are one unit, delivered in
// one Kafka transaction.
const unitsPath = "/units"

// formatOf is the format of a body for t.
func (t *target) formatOf(contentType string) (format, *fault) {
	if !t.unit {
		return formatOf(contentType)
	}
	media := contentType
	if m, _, err := mime.ParseMediaType(contentType); err == nil {
		media = m
	}
	switch media {
	case "", "application/x-ndjson", "application/jsonl", "application/json", typeJSON:
		return formatJSON, nil
	case typeBinary:
		return formatBinary, nil
	}
	return 0, faultf(415, 415, "Content-Type %q is not one of ours: send application/x-ndjson, or %s for base64", clip(media), typeBinary)
}

// runFor reads p.body as the target wants it.
func (p *parse) runFor(t target, f format) *fault {
	if !t.unit {
		return p.run(t, f)
	}
	if !utf8.Valid(p.body) {
		return faultf(400, 40002, "Bad Request: the body is not valid UTF-8")
	}
	if cap(p.arena) < len(p.body) {
		p.arena = make([]byte, 0, cap(p.body))
	}
	for rest := p.body; len(rest) > 0; {
		line, more, _ := bytes.Cut(rest, []byte("\n"))
		rest = more
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if !json.Valid(line) {
			return faultf(400, 40002, "Bad Request: line %d of the body is not one JSON object", len(p.records)+1)
		}
		if err := p.record(t, f, line); err != nil {
			return err
		}
	}
	if len(p.records) == 0 {
		return faultf(422, 42206, `Payload error. The body is empty: send lines of the form {"topic":"orders","value":…}`)
	}
	return nil
}

// topicOf is the topic that a record of a unit names.
func topicOf(t target, raw []byte, at int) (string, *fault) {
	if !t.unit {
		return "", faultf(422, 422, `Unrecognized field: "topic" in records[%d]`, at)
	}
	topic, ok := text(raw)
	if !ok {
		return "", faultf(400, 40002, `Bad Request: the topic of records[%d] is not a string`, at)
	}
	if why := badTopic(string(topic)); why != "" {
		return "", faultf(400, 40002, "Topic name %q of records[%d] %s", clip(string(topic)), at, why)
	}
	return string(topic), nil
}

// spooled reports how many records each topic got.
func (h *Handler) spooled(t target, records []spoold.Record) {
	if !t.unit {
		h.hooks.Spooled(t.topic, len(records))
		return
	}
	counts := make(map[string]int)
	for i := range records {
		counts[records[i].Topic]++
	}
	for topic, n := range counts {
		h.hooks.Spooled(topic, n)
	}
}
