package spoold

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spoold/spoold/internal/keytable"
	"github.com/spoold/spoold/spool/bolt"
)

// leastQuota is the smallest quota: less would not hold a batch.
const leastQuota = 64 << 10

// Values of topic.quota.full.
const (
	quotaBlock      = "block"
	quotaReject     = "reject"
	quotaDropOldest = "drop-oldest"
)

var quotaPolicies = []string{quotaBlock, quotaReject, quotaDropOldest}

// topicQuota is an entry of topic.quota.topics.
type topicQuota struct {
	topic  string
	bytes  int64
	policy string // "": topic.quota.full
}

func parseQuota(entry string) (q topicQuota, err error) {
	topic, rest, ok := strings.Cut(entry, "=")
	if !ok {
		return q, fmt.Errorf("%q: want TOPIC=BYTES or TOPIC=BYTES:POLICY, such as audit=2GiB:reject", entry)
	}
	size, policy, has := strings.Cut(rest, ":")
	q = topicQuota{topic: strings.TrimSpace(topic), policy: strings.TrimSpace(policy)}
	if err := checkTopic(q.topic); err != nil {
		return q, fmt.Errorf("%q: %w", entry, err)
	}
	if has && !slices.Contains(quotaPolicies, q.policy) {
		return q, fmt.Errorf("%q: the policy must be one of %s", entry, strings.Join(quotaPolicies, ", "))
	}
	if q.bytes, err = keytable.ParseSize(strings.TrimSpace(size)); err != nil {
		return q, fmt.Errorf("%q: %w", entry, err)
	}
	if err := checkQuota(q.bytes); err != nil {
		return q, fmt.Errorf("%q: %w", entry, err)
	}
	return q, nil
}

func checkQuota(bytes int64) error {
	if bytes < 0 || bytes > 0 && bytes < leastQuota {
		return fmt.Errorf("a quota is 0 (none) or at least %s", keytable.Show(keytable.Size, leastQuota))
	}
	return nil
}

func quotasRule(c *Config) error {
	var errs []error
	seen := make(map[string]bool)
	for _, entry := range c.TopicQuotas {
		q, err := parseQuota(entry)
		if err == nil && seen[q.topic] {
			err = fmt.Errorf("names topic %s twice", q.topic)
		}
		seen[q.topic] = true
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// quotas say what the pending records of a topic may take, or nil if no topic has a quota.
func (c *Config) quotas() func(topic string) bolt.Quota {
	all := bolt.Quota{Bytes: c.TopicQuota, Full: c.quotaPolicy(c.TopicQuotaFull)}
	own := make(map[string]bolt.Quota)
	for _, entry := range c.TopicQuotas {
		q, err := parseQuota(entry)
		if err != nil {
			continue // Validate says so
		}
		own[q.topic] = bolt.Quota{Bytes: q.bytes, Full: c.quotaPolicy(firstOf(q.policy, c.TopicQuotaFull))}
	}
	if all.Bytes == 0 && len(own) == 0 {
		return nil
	}
	return func(topic string) bolt.Quota {
		if q, ok := own[topic]; ok {
			return q
		}
		return all
	}
}

func (c *Config) quotaPolicy(name string) bolt.QuotaPolicy {
	switch {
	case name == quotaReject:
		return bolt.QuotaReject
	case name == quotaDropOldest && c.TransactionalID == "":
		return bolt.QuotaDropOldest
	}
	return bolt.QuotaBlock
}

// namesDropOldest reports whether a quota of the configuration has the policy drop-oldest.
func (c *Config) namesDropOldest() bool {
	return c.TopicQuotaFull == quotaDropOldest || slices.ContainsFunc(c.TopicQuotas, func(e string) bool { return strings.HasSuffix(strings.TrimSpace(e), ":"+quotaDropOldest) })
}

// dropsOldest reports whether there may be topics whose oldest records are dropped.
func (c *Config) dropsOldest() bool { return c.TransactionalID == "" && c.namesDropOldest() }

// quotaStatus fills in how topics stand to their quotas.
func (st *Status) quotaStatus(use map[string]bolt.QuotaUse) {
	if len(use) == 0 {
		return
	}
	for i := range st.Topics {
		t := &st.Topics[i]
		q, ok := use[t.Topic]
		if !ok {
			continue
		}
		t.QuotaBytes, t.QuotaUsedBytes = q.Bytes, q.Taken
		if q.Full {
			t.QuotaFull = fmt.Sprintf("its pending records take %d bytes of at most %d (topic.quota.bytes or topic.quota.topics)", q.Taken, q.Bytes)
		}
	}
}
