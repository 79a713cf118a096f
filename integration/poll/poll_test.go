package poll

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntilEndsWithTheConditionOrItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, calls := time.Now(), 0
		if !Until(func() bool { calls++; return calls == 3 }) || calls != 3 || time.Since(began) != 2*time.Millisecond {
			t.Errorf("%d calls in %v", calls, time.Since(began))
		}
		began = time.Now()
		if Until(func() bool { return false }) || time.Since(began) < Patience || time.Since(began) > Patience+time.Second {
			t.Errorf("it gave up after %v", time.Since(began))
		}
	})
}

func TestInMemoryLeavesATMPDIRThatIsSet(t *testing.T) {
	t.Setenv("TMPDIR", "/elsewhere")
	InMemory()
	if got := os.TempDir(); got != "/elsewhere" {
		t.Errorf("temporary files go to %s", got)
	}
	t.Setenv("TMPDIR", "")
	InMemory()
	f, err := os.CreateTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		t.Error(err)
	}
}
