package loop

import "github.com/spoold/spoold/sender"

// troubles are those that were reported and are not over.
type troubles struct {
	topics      map[string]*trouble
	transaction *trouble // of the transactional id; nil: none
	id          string   // the transactional id
}

// trouble is what was reported of one topic, or of the transactional id.
type trouble struct {
	stopped bool // it cannot be delivered to
	unread  bool // it is delivered to, and a right is missing
	moved   bool // records were acked since, or a transaction was committed
}

// note takes an event that was reported.
func (t *troubles) note(event sender.Event) {
	switch e := event.(type) {
	case sender.TopicTrouble:
		if t.topics == nil {
			t.topics = make(map[string]*trouble)
		}
		of := t.topics[e.Topic]
		if of == nil {
			of = &trouble{}
			t.topics[e.Topic] = of
		}
		if of.unread = of.unread || e.Delivered; !e.Delivered {
			of.stopped, of.moved = true, false
		}
	case sender.BatchAcked:
		if of := t.topics[e.Topic]; of != nil {
			of.moved = true
		}
	case sender.TransactionTrouble:
		t.transaction, t.id = &trouble{stopped: true}, e.ID
	case sender.TransactionEnded:
		if t.transaction != nil && e.Committed {
			t.transaction.moved = true
		}
	}
}

// over are events about what is over by a status that is newer than what was noted. What is still to be told of it is forgotten.
func (t *troubles) over(st *sender.Status) (events []sender.Event) {
	if len(t.topics) == 0 && t.transaction == nil {
		return nil
	}
	parked := false
	for i := range st.Topics {
		topic := &st.Topics[i]
		parked = parked || topic.State == "parked"
		of := t.topics[topic.Topic]
		if of == nil {
			continue
		}
		if of.stopped && delivered(topic, of) {
			of.stopped = false
			events = append(events, sender.TopicRecovered{Topic: topic.Topic})
		}
		if of.unread && read(topic) {
			of.unread = false
			events = append(events, sender.TopicRecovered{Topic: topic.Topic, Delivered: true})
		}
		if !of.stopped && !of.unread {
			delete(t.topics, topic.Topic)
		}
	}
	if x := st.Transaction; t.transaction != nil && t.transaction.moved && x != nil && x.Parked == 0 && x.Fenced == "" && !parked {
		t.transaction = nil
		events = append(events, sender.TransactionRecovered{ID: t.id})
	}
	return events
}

// delivered reports whether a topic is delivered to again, or nothing waits for it any more.
func delivered(topic *sender.TopicStatus, of *trouble) bool {
	return topic.State == "idle" || of.moved && topic.Trouble == "" && topic.State != "parked" && topic.State != "unknown-topic"
}

// read reports whether each leader that was asked about producers has answered.
func read(topic *sender.TopicStatus) bool {
	for i := range topic.Partitions {
		if !topic.Partitions[i].MayAsk {
			return false
		}
	}
	return true
}

// look reports what is over by a status that is newer than what was noted.
func (t *troubles) look(st *sender.Status, core Core, report func(sender.Event)) {
	for _, event := range t.over(st) {
		switch e := event.(type) {
		case sender.TopicRecovered:
			if !e.Delivered {
				core.Recovered(e.Topic)
			}
		case sender.TransactionRecovered:
			core.Recovered("")
		}
		report(event)
	}
}
