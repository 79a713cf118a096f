package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestALineIsSaidOncePerMinuteAndCauseAndThenTheCountOfTheOthers(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var out bytes.Buffer
	log := newLogger(&out, "info", "json", func() time.Time { return now })
	for range 5 {
		log.Warn("topic cannot be delivered to", "event", "topic.trouble", "topic", "a")
	}
	log.Warn("topic cannot be delivered to", "event", "topic.trouble", "topic", "b")
	log.Debug("below the level", "event", "x")
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Fatalf("%d lines, want one for each topic:\n%s", got, &out)
	}
	now = now.Add(quietFor)
	log.Warn("topic cannot be delivered to", "event", "topic.trouble", "topic", "a")
	if !strings.Contains(out.String(), `"suppressed":4`) {
		t.Errorf("the next line does not say how many were held back:\n%s", &out)
	}
}
