package spoold

import "log/slog"

// transactions has h log what happens under the transactional id.
func (l *logger) transactions(h *Hooks) {
	on(&h.TransactionEnded, func(e TransactionEnded) {
		switch {
		case !e.Committed:
			l.line(slog.LevelWarn, "transaction aborted, its records are sent again",
				"event", "transaction.aborted", "transactional_id", e.TransactionalID, "records", e.Records, "err", e.Why)
		case e.Recovered:
			l.line(slog.LevelInfo, "a transaction that an earlier process had decided on was committed",
				"event", "transaction.recovered", "transactional_id", e.TransactionalID, "ordinal", e.Ordinal, "records", e.Records)
		}
	})
	on(&h.TransactionRecovered, func(e TransactionRecovered) {
		l.line(slog.LevelInfo, "records are delivered under the transactional id again", "event", "transaction.resumed", "transactional_id", e.TransactionalID)
	})
	on(&h.TransactionTrouble, func(e TransactionTrouble) {
		l.line(slog.LevelError, "nothing can be delivered under the transactional id for now, records are spooled",
			"event", "transaction.trouble", "transactional_id", e.TransactionalID, "fenced", e.Fenced, "err", e.Message)
	})
}
