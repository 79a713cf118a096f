package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spoold/spoold"
)

// TransactionRequest is an operator's decision about the transactional id.
type TransactionRequest struct {
	Operation spoold.TransactionOperation `json:"word"`
}

func operateTransaction(d Daemon, w http.ResponseWriter, r *http.Request) {
	var req TransactionRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&req); err != nil {
		writeJSON(w, http.StatusBadRequest, Failure{"transaction: " + err.Error(), 64})
		return
	}
	if err := d.OperateTransaction(r.Context(), req.Operation); err != nil {
		writeJSON(w, http.StatusConflict, Failure{"transaction: " + err.Error(), 64})
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}

// OperateTransaction passes an operator's decision about the transactional id on.
func (c *Client) OperateTransaction(ctx context.Context, op spoold.TransactionOperation) error {
	body, err := json.Marshal(TransactionRequest{op})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, "/api/txn", body, &struct{}{})
	return err
}
