package accumulator

// sizeLimit is how large a batch the topic takes, as refusals have shown (max.message.bytes): bytes on the wire. It grows again carefully: the topic's limit may have been raised, or records
// may compress better than those that were refused.
type sizeLimit struct {
	bytes    int   // 0: none is known
	acked    int   // the largest batch that was acked since; a refusal of a smaller one forgets it
	growAt   int64 // Age
	refusals int
	refused  int  // the size of the last batch that was refused
	said     int  // the topic's own setting as it was given last; 0: never
	wanted   bool // the topic's own setting would help: nobody was asked for it since the last refusal
}

const (
	leastLimit  = 512            // bytes: a batch of one record goes whatever its size is
	growAfterMs = int64(600_000) // after the first refusal; twice as long after each further one
	growMostMs  = 64 * growAfterMs
)

// tooLarge notes that a batch of more than one record was refused for its size in bytes.
func (s *sizeLimit) tooLarge(now int64, size int) {
	if s.acked >= size {
		s.acked = 0
	}
	limit := max(size/2, s.acked, leastLimit)
	if s.said > 0 && s.said < size {
		limit = max(s.said, leastLimit)
	}
	if s.bytes == 0 || limit < s.bytes {
		s.bytes = limit
	}
	s.growAt = now + min(growAfterMs<<min(s.refusals, 6), growMostMs)
	s.refusals++
	s.refused, s.wanted = size, true
}

// configured notes what the topic's configuration says. It counts where it explains the last refusal: with no guess, then.
func (s *sizeLimit) configured(bytes int) {
	s.said = bytes
	if s.bytes > 0 && bytes < s.refused {
		s.bytes = max(bytes, leastLimit)
	}
}

// allowed is what the pieces of a batch of size bytes, which was refused for that, may have: as the topic's setting says, or as was acked
// since the first refusal, unless that is far less. 0: it is not known.
func (s *sizeLimit) allowed(size int) int {
	switch {
	case s.said > 0 && s.said < size:
		return s.said
	case s.acked < size && s.acked > size/farLess:
		return s.acked
	}
	return 0
}

// farLess is how many times smaller than a refused batch an acked one must be to say nothing about how large its pieces may be.
const farLess = 32

// ackedBatch notes that a batch of so many bytes was acked.
func (s *sizeLimit) ackedBatch(size int) {
	if s.bytes > 0 {
		s.acked = max(s.acked, size)
	}
}

// grow raises the limit by an eighth when it is time to try.
func (s *sizeLimit) grow(now int64, most int) {
	if s.bytes == 0 || now < s.growAt {
		return
	}
	s.bytes += s.bytes / 8
	s.growAt = now + min(growAfterMs<<min(max(s.refusals-1, 0), 6), growMostMs)
	if s.bytes >= most {
		*s = sizeLimit{said: s.said}
	}
}
