package httpin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

// maxEntries is how many records a v3 batch may have.
const maxEntries = 1000

// entryV3 is one of a batch: taken, or with what is wrong with it.
type entryV3 struct {
	id     string
	report reportV3
	fault  *fault
	sent   bool
}

// batch takes POST …/records:batch. Entries that cannot be read or taken are failures; the others go in one commit.
func (h *Handler) batch(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, how, f := h.askV3(p, r)
	if f != nil {
		return f
	}
	t.path += ":batch"
	if f := p.mayEnter(); f != nil {
		return f
	}
	if f := h.read(p, w, r); f != nil {
		return f
	}
	defer h.unread(p)
	entries, f := p.batchV3(t.topic)
	if f != nil {
		return f
	}
	var d Deliveries
	if how.acked {
		done, f := h.waiter()
		if f != nil {
			return f
		}
		defer done()
	}
	if d, f = h.spoolEntries(p, r, t, how, entries); f != nil {
		return f
	}
	s := &streamV3{h: h, r: r, t: t, how: how}
	out := append(p.answer[:0], `{"successes":[`...)
	failures := []byte(`],"failures":[`)
	cluster, at := h.clusterID(), 0
	for i := range entries {
		e := &entries[i]
		id, err := json.Marshal(e.id)
		if err != nil {
			return sendFault(err)
		}
		offset := int64(-1)
		if e.fault == nil && how.acked {
			e.report.partition, offset, e.fault = s.acked(d, at)
			if e.fault != nil && (e.fault.status == http.StatusGatewayTimeout || e.fault.status == http.StatusServiceUnavailable) {
				return e.fault
			}
		}
		if e.sent {
			at++
		} else {
			h.rejected(e.fault, 1)
		}
		if e.fault != nil {
			failures = appendEntry(failures, id, fmt.Appendf(nil, `"error_code":%d,"message":%s`, e.fault.code, e.fault.text()))
			continue
		}
		out = appendEntry(out, id, e.report.appendFields(nil, cluster, t.topic, offset))
	}
	p.answer = append(append(out, failures...), "]}\n"...)
	w.Header().Set("Content-Type", plainJSON)
	w.WriteHeader(http.StatusMultiStatus)
	_, _ = w.Write(p.answer) // nobody is left to report to if the client is gone
	return nil
}

// spoolEntries sends the entries that can be read, in one commit, without those that cannot be taken. With an Idempotency-Key the
// request must stand for the same records whenever it comes: there only an entry that is too large is left out, and one that the
// cluster or the clock rules out is the whole answer.
func (h *Handler) spoolEntries(p *parse, r *http.Request, t target, how manner, entries []entryV3) (Deliveries, *fault) {
	for len(p.records) > 0 {
		d, f := h.spool(p, r, t, how, h.cfg.AdmitTimeout)
		if f == nil || f.alone == nil || how.key != "" && f.alone.status != http.StatusRequestEntityTooLarge {
			return d, f
		}
		p.records = slices.Delete(p.records, f.at, f.at+1)
		for i, at := 0, f.at; ; i++ {
			if entries[i].sent {
				at--
			}
			if at < 0 {
				entries[i].sent, entries[i].fault = false, f.alone.partly("this record was not spooled")
				break
			}
		}
	}
	return nil, nil
}

func appendEntry(out, id, fields []byte) []byte {
	if out[len(out)-1] != '[' {
		out = append(out, ',')
	}
	return append(append(append(append(append(out, `{"id":`...), id...), ','), fields...), '}')
}

// batchV3 reads {"entries":[…]}.
func (p *parse) batchV3(topic string) ([]entryV3, *fault) {
	switch {
	case len(bytes.TrimSpace(p.body)) == 0:
		return nil, faultf(422, 42206, "Payload error. Request body is empty. Data is required.")
	case !json.Valid(p.body):
		return nil, malformed(p.body)
	case !utf8.Valid(p.body):
		return nil, faultf(400, 40002, "Bad Request: the body is not valid UTF-8")
	}
	if cap(p.arena) < len(p.body) {
		p.arena = make([]byte, 0, cap(p.body))
	}
	c := cursor{b: p.body}
	if !c.take('{') {
		return nil, errBatch("The body is not an object")
	}
	name, list, ok := c.member()
	if !ok || string(name) != `"entries"` || c.peek() != '}' {
		return nil, errBatch("The body must have entries, and nothing else")
	}
	c = cursor{b: list}
	if !c.take('[') {
		return nil, errBatch("entries is not an array")
	}
	var entries []entryV3
	ids := map[string]bool{}
	now := time.Now()
	for {
		raw, ok := c.element()
		if !ok {
			break
		}
		if len(entries) == maxEntries {
			return nil, errBatch(fmt.Sprintf("It has more than %d entries", maxEntries))
		}
		var e entryV3
		var id []byte
		e.report.sizes, id, e.fault = p.recordV3(topic, raw, now)
		if e.sent = e.fault == nil; e.sent {
			e.report.partition = p.records[len(p.records)-1].Partition.Number()
		} else {
			id = memberOf(raw, `"id"`)
		}
		name, ok := text(id)
		if e.id = string(name); !ok || len(name) == 0 || len(name) > 80 || ids[e.id] {
			return nil, errBatch(fmt.Sprintf("The id of entry %d must be a string of 1 to 80 bytes that no other entry has", len(entries)+1))
		}
		ids[e.id] = true
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, errBatch("It has no entries")
	}
	return entries, nil
}

func errBatch(what string) *fault { return faultf(422, 42208, "Batch error. %s.", what) }

// memberOf is a member of an object, or nil.
func memberOf(raw []byte, want string) []byte {
	c := cursor{b: raw}
	if !c.take('{') {
		return nil
	}
	for {
		name, value, ok := c.member()
		if !ok {
			return nil
		}
		if string(name) == want {
			return value
		}
	}
}
