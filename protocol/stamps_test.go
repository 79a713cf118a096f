package protocol

import "testing"

func TestABrokersWordsTellWhetherATimestampIsAhead(t *testing.T) {
	for message, ahead := range map[string]bool{
		"Timestamp 1795237793791 of message with offset 0 is out of range. The timestamp should be within [-9223370241624182014, 1795234193793]": true,
		"Timestamp 1795237793791 of message with offset 0 is out of range. The timestamp should be within [1795237793800, 1795241393800]":        false, // too old
		"Timestamp 1795237793791 of message with offset 0 is out of range. The timestamp should be within [1795237793800, -9223370241624209928]": false, // no upper limit
		"Timestamp 1795237793791 of message with offset 0 is out of range. The timestamp should be within [5, 1795237793791]":                    false, // the last one that is taken
		"Timestamp 1795237793791 of message with offset 0 is out of range. The timestamp should be within [-9, 0]":                               true,  // 1970 is a limit as any other
		"The timestamp should be within [5, 1795237793790":                                                                                       false,
		"The timestamp should be within [5, soon]": false,
		"The timestamp should be within [5]":       false,
		"out of range":                             false,
		"":                                         false,
	} {
		if got := TimestampAhead(message, 1795237793791); got != ahead {
			t.Errorf("%q: %v", message, got)
		}
	}
}
