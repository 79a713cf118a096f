package admin

import (
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

// A disk that hangs fails the health check, and with it the watchdog; one that is slow does not.
func TestDiskThatHangsIsNotHealthy(t *testing.T) {
	if err := Health(&spoold.Status{State: "running", CommitSeconds: 29}, nil); err != nil {
		t.Errorf("a slow disk: %v", err)
	}
	err := Health(&spoold.Status{State: "running", CommitSeconds: 31}, nil)
	if err == nil || !strings.Contains(err.Error(), "the disk hangs") {
		t.Errorf("a disk that hangs: %v", err)
	}
}

// With link, readiness asks whether anything can be delivered: /readyz?link=1 was ok while another producer had the transactional id.
func TestAProducerThatIsFencedIsNotReadyToDeliver(t *testing.T) {
	s := &spoold.Status{State: "running", Link: "up", Transaction: &spoold.TransactionStatus{ID: "id", Fenced: "another one has it"}}
	if err := Ready(s, nil, false); err != nil {
		t.Errorf("it takes records: %v", err)
	}
	if err := Ready(s, nil, true); err == nil || !strings.Contains(err.Error(), "another one has it") {
		t.Errorf("nothing is delivered: %v", err)
	}
}
