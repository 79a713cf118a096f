package protocol

import (
	"strconv"
	"strings"
)

// TimestampAhead reports whether a broker that answered INVALID_TIMESTAMP says, in the words of Apache Kafka, that a timestamp (ms) is above
// what it takes now: such a record is taken later, whatever this host's clock shows by then. Of other words it reports false.
func TimestampAhead(message string, stamp int64) bool {
	_, within, _ := strings.Cut(message, "should be within [")
	_, upper, _ := strings.Cut(within, ", ")
	upper, _, closed := strings.Cut(upper, "]")
	most, err := strconv.ParseInt(upper, 10, 64)
	return closed && err == nil && most >= 0 && stamp > most // a limit of centuries wraps round, and refuses nothing
}
