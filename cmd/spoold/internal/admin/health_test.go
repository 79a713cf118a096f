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
