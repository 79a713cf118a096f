package world

import (
	"os"
	"strconv"
	"testing"
)

func TestCount(t *testing.T) {
	if os.Getenv("CNT") == "" {
		return
	}
	seed, _ := strconv.ParseUint(os.Getenv("CNT"), 10, 64)
	kinds = map[string]int{}
	Run(Draw(seed))
	t.Log(kinds)
	t.Logf("%+v", Draw(seed).Hosts)
}
