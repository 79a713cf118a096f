package httpin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds of v3's streams.
const (
	reportsOut  = 256              // records whose report is waited for at a time
	reportTime  = 30 * time.Second // how long a client may take to read what is written at a time
	reportBytes = 16 << 10         // written at once, or sooner if nothing further is ready
)

// streamV3 is POST …/records: records one behind the other, and a report of each in the same order.
type streamV3 struct {
	h   *Handler
	w   http.ResponseWriter
	r   *http.Request
	rc  *http.ResponseController
	t   target
	how manner

	cluster string
	reports chan reportV3
	gone    context.CancelFunc // nobody reads the reports
	begun   bool               // something was written
	unread  bool               // nobody reads what is written
	only    *fault             // of the only record: it is the whole answer's
}

// reportV3 is a record whose report is to be written.
type reportV3 struct {
	d         Deliveries
	sizes     sizesV3
	partition int32
	fault     *fault // instead of all else
}

// stream takes a stream of records.
func (h *Handler) stream(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, how, f := h.askV3(p, r)
	if f != nil {
		return f
	}
	leave, f := h.enterStream(how)
	if f != nil {
		return f
	}
	defer leave()
	s := &streamV3{h: h, w: w, rc: http.NewResponseController(w), t: t, how: how, cluster: h.clusterID(), reports: make(chan reportV3, reportsOut)}
	ctx, gone := context.WithCancel(r.Context())
	defer gone()
	s.r, s.gone = r.WithContext(ctx), gone
	_ = s.rc.EnableFullDuplex() // an error means that it is so always, or that there is no connection, as in tests
	slow, stop := h.patient(w, r)
	defer stop()
	body, f := h.open(p, r, slow)
	if f != nil {
		return f
	}
	defer h.unread(p)
	defer p.source.close()
	var done sync.WaitGroup
	done.Go(s.write)
	n := s.read(p, &values{h: h, p: p, in: body})
	close(s.reports)
	done.Wait()
	p.records = p.records[:0] // they are counted already
	switch {
	case s.only != nil:
		return s.only.closing()
	case n == 0:
		return faultf(422, 42206, "Payload error. Request body is empty. Data is required.")
	}
	return nil
}

// askV3 is ask for v3's paths.
func (h *Handler) askV3(p *parse, r *http.Request) (t target, how manner, f *fault) {
	topic := p.vars[1]
	if why := badTopic(topic); why != "" {
		return t, how, faultf(400, 40002, "Topic name %q %s", clip(topic), why)
	}
	if ct := r.Header.Get("Content-Type"); ct != "" && mediaType(ct) != plainJSON {
		return t, how, faultf(415, 415, "HTTP 415 Unsupported Media Type: send %s, not %q", plainJSON, clip(ct))
	}
	if how, f = h.mannerOf(r); f != nil {
		return t, how, f
	}
	return target{topic: topic, path: "/v3/" + topic}, how, p.maySend(topic)
}

// read hands the records on, one by one, and counts them. It stops where it cannot find the next one, or nobody reads its reports.
func (s *streamV3) read(p *parse, in *values) (n int) {
	for s.r.Context().Err() == nil {
		p.records, p.headers, p.arena = p.records[:0], p.headers[:0], p.arena[:0]
		raw, f := in.next()
		if f != nil {
			s.reports <- reportV3{fault: f}
			return n + 1
		}
		if raw == nil {
			return n
		}
		n++
		rep := s.take(p, raw, n)
		if rep.fault != nil && n > 1 { // the first one's is counted with the whole answer
			s.h.rejected(rep.fault, 1)
		}
		s.reports <- rep
		if rep.fault != nil && (n == 1 || rep.fault.close) { // the first one's is the whole answer: nothing may be taken behind it
			return n
		}
	}
	return n
}

// take hands one record on.
func (s *streamV3) take(p *parse, raw []byte, n int) (rep reportV3) {
	if !json.Valid(raw) || !utf8.Valid(raw) {
		rep.fault = malformed(raw)
		return rep
	}
	if cap(p.arena) < len(raw) {
		p.arena = make([]byte, 0, len(raw))
	}
	if rep.sizes, _, rep.fault = p.recordV3(s.t.topic, raw, time.Now()); rep.fault != nil {
		return rep
	}
	rep.partition = p.records[0].Partition.Number()
	if rep.fault = s.h.pause(p, s.r); rep.fault != nil {
		return rep
	}
	key := ""
	if s.how.key != "" {
		key = s.how.key + "\n" + strconv.Itoa(n)
	}
	rep.d, rep.fault = s.h.hand(p, s.r, s.t, key, s.h.cfg.StreamTimeout)
	return rep
}

// write writes reports in the order of their records, until there are no more. A fault of the only record is left to the caller.
func (s *streamV3) write() {
	var out []byte
	rep, more := <-s.reports
	for n := 1; more; n++ {
		f := rep.fault
		var offset int64 = -1
		if f == nil {
			rep.partition, offset, f = s.wait(&rep)
		}
		if f == nil {
			out = rep.append(out, s.cluster, s.t.topic, offset)
		} else if n > 1 {
			out = append(out, f.partly("this record was not spooled").body()...)
		}
		if len(out) > 0 && (len(s.reports) == 0 || len(out) >= reportBytes) {
			s.flush(out)
			out = out[:0]
		}
		rep, more = <-s.reports
		if f != nil && n == 1 {
			if !more {
				s.only = f
			}
			out = append(out, f.body()...)
		}
	}
	if len(out) > 0 && s.only == nil {
		s.flush(out)
	}
}

// wait waits until the record is spooled, or acked if that was asked for.
func (s *streamV3) wait(rep *reportV3) (partition int32, offset int64, f *fault) {
	// Not the request's context: whoever stopped reading may have sent records that are to be counted.
	if err := rep.d.Spooled(context.WithoutCancel(s.r.Context())); err != nil {
		return 0, 0, sendFault(err)
	}
	if rep.d.Duplicate() {
		s.h.hooks.Duplicate()
	} else {
		s.h.hooks.Spooled(s.t.topic, 1)
	}
	if !s.how.acked {
		return rep.partition, -1, nil
	}
	return s.acked(rep.d, 0)
}

// acked waits until a record is on the cluster.
func (s *streamV3) acked(d Deliveries, i int) (partition int32, offset int64, f *fault) {
	ctx, cancel := context.WithTimeout(s.h.base, s.h.cfg.AckTimeout)
	defer cancel()
	defer context.AfterFunc(s.r.Context(), cancel)()
	ack, err := d.Acked(ctx, i)
	switch {
	case err == nil:
		return ack.Partition, ack.Offset, nil
	case ctx.Err() != nil:
		return 0, 0, s.h.notAcked(s.r, s.t.topic)
	}
	return 0, 0, faultf(500, refusal(err), "The cluster refused the record for good: %v", err)
}

// flush writes to the client, who must read.
func (s *streamV3) flush(out []byte) {
	if s.unread { // not the request's context: it ends when the body breaks off, and the client may still read
		return
	}
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", plainJSON)
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(reportTime)) // an error means that there is none, as in tests
	_, err := s.w.Write(out)
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil {
		s.unread = true
		s.gone()
	}
}

// append writes a report.
func (rep *reportV3) append(out []byte, cluster, topic string, offset int64) []byte {
	out = append(out, `{"error_code":200,`...)
	return append(rep.appendFields(out, cluster, topic, offset), "}\n"...)
}

// appendFields writes what v3 says of a record that was taken.
func (rep *reportV3) appendFields(out []byte, cluster, topic string, offset int64) []byte {
	out = fmt.Appendf(out, `"cluster_id":%q,"topic_name":%q,"partition_id":%d,"offset":%d,"timestamp":"%s"`,
		cluster, topic, rep.partition, offset, rep.sizes.timestamp.UTC().Format("2006-01-02T15:04:05.000Z"))
	for i, d := range [2]dataV3{rep.sizes.key, rep.sizes.value} {
		if d.kind != "" {
			out = fmt.Appendf(out, `,%q:{"type":%q,"size":%d}`, [2]string{"key", "value"}[i], d.kind, d.size)
		}
	}
	return out
}
