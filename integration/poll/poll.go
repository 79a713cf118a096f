package poll

import "time"

// Patience bounds every wait of a test: it is reached only when something is broken.
const Patience = 20 * time.Second

// Until calls ok every millisecond until it returns true. It returns false if that takes longer than Patience.
func Until(ok func() bool) bool { return Within(Patience, ok) }

// Within is Until with another bound.
func Within(patience time.Duration, ok func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(late) {
			return false
		}
	}
	return true
}
