package transaction

// trouble is why nothing goes on, for people.
type trouble struct {
	detail string
	told   string // by a TransactionTrouble that is not over
}

func (t *trouble) say(detail string) { t.detail = detail }

// tell reports whether the reason was not told yet. It is now.
func (t *trouble) tell(detail string) bool {
	if t.told == detail {
		return false
	}
	t.told = detail
	return true
}

// standing is why nothing is delivered under the transactional id until an operator does something about it, as TransactionTrouble
// said it, or "": the start procedure, which is tried again and again, is refused so.
func (s *reader) standing() string {
	st := &s.starter
	if st.phase == running || st.phase == fenced || st.phase == parked || st.trial.told != st.trial.detail {
		return ""
	}
	return st.trial.told
}

// Recovered says that what was reported of a topic, or with "" of the transactional id, is over: should it come again, it is reported again.
func (s *Sender) Recovered(topic string) {
	if topic == "" {
		s.starter.trial.told = ""
	} else if l := s.byTopic[topic]; l != nil {
		l.remote.Recovered()
	}
}
