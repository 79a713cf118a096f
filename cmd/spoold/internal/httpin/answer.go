package httpin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spoold/spoold"
)

// answerAcked waits for the cluster and answers with offsets.
func (h *Handler) answerAcked(p *parse, w http.ResponseWriter, r *http.Request, d Deliveries) *fault {
	ctx, cancel := context.WithTimeout(h.base, h.cfg.AckTimeout)
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	out := append(p.answer[:0], `{"offsets":[`...)
	status := http.StatusOK
	for i := range p.records {
		if i > 0 {
			out = append(out, ',')
		}
		ack, err := d.Acked(ctx, i)
		switch {
		case err == nil:
			out = appendOffset(out, ack.Partition, ack.Offset)
		case ctx.Err() != nil:
			return h.notAcked(r, p.records[0].Topic)
		default:
			code := refusal(err)
			if code == 40301 || code == 40101 {
				status = code / 100
			}
			out = appendError(out, code, err)
		}
	}
	p.answer = append(out, answerEnd...)
	if status != http.StatusOK {
		w.Header()["Content-Type"] = contentType
		w.WriteHeader(status)
	}
	reply(w, p.answer)
	return nil
}

const answerEnd = `],"key_schema_id":null,"value_schema_id":null}` + "\n"

// answerSpooled is v2's answer while no offset is known.
func answerSpooled(out []byte, records []spoold.Record) []byte {
	out = append(out, `{"offsets":[`...)
	for i := range records {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendOffset(out, records[i].Partition.Number(), -1)
	}
	return append(out, answerEnd...)
}

func appendOffset(out []byte, partition int32, offset int64) []byte {
	out = append(out, `{"partition":`...)
	out = strconv.AppendInt(out, int64(partition), 10)
	out = append(out, `,"offset":`...)
	out = strconv.AppendInt(out, offset, 10)
	return append(out, `,"error_code":null,"error":null}`...)
}

func appendError(out []byte, code int, err error) []byte {
	text := faultf(0, 0, "%v", err).body() // {"error_code":0,"message":"…"}\n
	message := text[len(`{"error_code":0,"message":`) : len(text)-2]
	out = fmt.Appendf(out, `{"partition":null,"offset":null,"error_code":%d,"error":`, code)
	out = append(out, message...)
	return append(out, '}')
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = contentType
	_, _ = w.Write(body) // nobody reads it if the client is gone
}
