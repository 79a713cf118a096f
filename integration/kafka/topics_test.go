package kafka

import (
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A change whose answer a closed connection took is made again, and what the lost try has done is no error then. Any other
// error, and that one without a lost answer before it, is the caller's.
func TestAChangeIsMadeUntilItIsAnswered(t *testing.T) {
	lost := &kgo.ErrFirstReadEOF{}
	for name, c := range map[string]struct {
		answers []error
		want    error
	}{
		"at once":               {[]error{nil}, nil},
		"lost, not done":        {[]error{lost, nil}, nil},
		"lost, done":            {[]error{lost, lost, kerr.TopicAlreadyExists}, nil},
		"there before":          {[]error{kerr.TopicAlreadyExists}, kerr.TopicAlreadyExists},
		"another error":         {[]error{io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF},
		"lost, then an error":   {[]error{lost, kerr.PolicyViolation}, kerr.PolicyViolation},
		"lost, done by another": {[]error{lost, kerr.UnknownTopicOrPartition}, kerr.UnknownTopicOrPartition},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := answered(t.Context(), kerr.TopicAlreadyExists, func() error {
				calls++
				return c.answers[calls-1]
			})
			if !errors.Is(err, c.want) || calls != len(c.answers) {
				t.Errorf("%d calls, %v, want %d and %v", calls, err, len(c.answers), c.want)
			}
		})
	}
}
