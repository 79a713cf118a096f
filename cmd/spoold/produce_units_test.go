package main

import (
	"strings"
	"testing"
)

// An ID of a variable that is not set must not send without transactions.
func TestFlagsOfTransactionsThatMeanNothingAreRefused(t *testing.T) {
	for _, try := range []struct{ args, want string }{
		{"--transactional-id=", "the ID is empty"},
		{"--transactional-id= --unit-records 5", "the ID is empty"},
		{"--unit-records 5", "use it with --transactional-id"},
		{"--wait committed", "use it with --transactional-id"},
		{"--transactional-id x --unit-records -1", "must not be below 0"},
	} {
		code, _, errs := run(t, "a\n", append(strings.Fields("produce -b localhost:1 -t t --timeout 1s --spool "+t.TempDir()), strings.Fields(try.args)...)...)
		if code != exitUsage || !strings.Contains(errs, try.want) {
			t.Errorf("%s: code %d, %s; want %q", try.args, code, errs, try.want)
		}
	}
}
