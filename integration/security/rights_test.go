//go:build kafka

package security_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// right is one that docs/security.md says a transaction needs.
type right struct {
	name  string
	of    func(topic, id string) *kadm.ACLBuilder
	named string // by the status, when it is missing; "": records are delivered without it
}

var transactionRights = []right{
	{"WRITE on the topic", func(topic, _ string) *kadm.ACLBuilder {
		return kadm.NewACLs().Topics(topic).Operations(kadm.OpWrite)
	}, "grant WRITE on "},
	{"READ on the topic", func(topic, _ string) *kadm.ACLBuilder {
		return kadm.NewACLs().Topics(topic).Operations(kadm.OpRead)
	}, "grant READ on topic"},
	{"WRITE on the transactional id", func(_, id string) *kadm.ACLBuilder {
		return kadm.NewACLs().TransactionalIDs(id).Operations(kadm.OpWrite)
	}, "grant WRITE and DESCRIBE on transactional id"},
	{"READ on the group", func(_, id string) *kadm.ACLBuilder {
		return kadm.NewACLs().Groups("spoold." + id).Operations(kadm.OpRead)
	}, "grant READ on group spoold."},
}

func (r *rig) give(one *right, user, topic, id string) {
	r.t.Helper()
	b := one.of(topic, id).ResourcePatternType(kadm.ACLPatternLiteral).Allow("User:" + user).AllowHosts("*")
	if _, err := r.Admin().CreateACLs(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
}

// With all rights of the list a transaction is committed; without one of them the status says which, and goes on when it is given.
func TestEachRightThatATransactionNeedsIsNamedWhenItIsMissing(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			r := run(t, version, "SASL_SSL", nil)
			for i := range transactionRights {
				missing := &transactionRights[i]
				t.Run(missing.name, func(t *testing.T) {
					topic, id := "t"+string(rune('0'+i)), "id"+string(rune('0'+i))
					if _, err := r.Admin().CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
						t.Fatal(err)
					}
					for j := range transactionRights {
						if j != i {
							r.give(&transactionRights[j], "bob", topic, id)
						}
					}
					set := map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "PLAIN",
						"sasl.username": "bob", "sasl.password": "bob-secret", "transactional.id": id}
					r.probed(set, topic, missing.name)
					recovered := make(chan string, 100)
					hooks := spoold.Hooks{TopicRecovered: func(e spoold.TopicRecovered) { recovered <- e.Topic },
						TransactionRecovered: func(e spoold.TransactionRecovered) { recovered <- e.TransactionalID }}
					p := open(t, r.config(set), spoold.Env{Hooks: hooks})
					p.send(topic, 3)
					p.comes("trouble that says "+missing.named, func(st *spoold.Status) bool {
						return len(st.Topics) > 0 && strings.Contains(st.Topics[0].Trouble, missing.named) && st.Topics[0].State != "delivering"
					})
					r.give(missing, "bob", topic, id)
					r.probed(set, topic, "")
					p.drained()
					r.expect(topic, 3)
					p.comes("the end of it", func(st *spoold.Status) bool { return len(recovered) > 0 && st.Topics[0].Trouble == "" })
				})
			}
		})
	}
}

// Without the right to read, records are delivered, and without a word of topics that cannot be delivered to.
func TestWithoutTheRightToReadRecordsAreDelivered(t *testing.T) {
	r := run(t, kafka.Newest, "SASL_SSL", nil)
	if _, err := r.Admin().CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	r.give(&transactionRights[0], "bob", "t", "")
	trouble := make(chan spoold.TopicTrouble, 100)
	p := open(t, r.config(map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "PLAIN",
		"sasl.username": "bob", "sasl.password": "bob-secret"}), spoold.Env{Hooks: spoold.Hooks{TopicTrouble: func(e spoold.TopicTrouble) { trouble <- e }}})
	p.send("t", 3)
	p.drained()
	r.expect("t", 3)
	if e := <-trouble; !e.Delivered || !strings.Contains(e.Message, "grant READ") || len(trouble) > 0 {
		t.Errorf("reported: %+v, and %d more", e, len(trouble))
	}
}

// probed has a look say which right is missing, and leave no trace of it.
func (r *rig) probed(set map[string]string, topic, missing string) {
	r.t.Helper()
	f, err := spoold.Probe(r.t.Context(), r.config(set), spoold.Env{}, []string{topic})
	if err != nil {
		r.t.Fatal(err)
	}
	x, t, id := &f.Transactional, &f.Topics[0], set["transactional.id"]
	use, commit := missing != "WRITE on the transactional id", missing != "READ on the group"
	if !x.Known || x.MayUse != use || x.MayCommit != (use && commit) {
		r.t.Errorf("without %q: %+v", missing, x)
	}
	if t.Err == nil && (!t.Rights || t.MayWrite != (missing != "WRITE on the topic") || t.MayRead != (missing != "READ on the topic")) {
		r.t.Errorf("without %q: %+v", missing, t)
	}
	if missing == "" {
		return
	}
	list, err := r.Admin().DescribeTransactions(r.t.Context(), id)
	if errors.Is(err, kerr.CoordinatorNotAvailable) {
		return // nobody has used any id yet
	}
	if err != nil || len(list) != 1 || !errors.Is(list[id].Err, kerr.TransactionalIDNotFound) {
		r.t.Errorf("after the look the id is %+v, %v, want it unknown", list, err)
	}
}
