package poll

import (
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
