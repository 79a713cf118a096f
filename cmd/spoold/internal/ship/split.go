package ship

import "bytes"

// Format says where a record ends.
type Format struct {
	Delim []byte // ends a line; not part of a record
	// Max is the largest record in bytes. A longer one is skipped.
	Max int
	// TrimCR takes a carriage return off the end of a record.
	TrimCR bool
	// Starts reports whether a line begins a record; lines that do not belong to the record before
	// them. nil: every line is a record.
	Starts func(line []byte) bool
}

// Continues reports whether a record's first line does not begin a record: it belongs to the one before.
func (f *Format) Continues(record []byte) bool {
	if f.Starts == nil {
		return false
	}
	line, _, _ := bytes.Cut(record, f.Delim)
	return !f.Starts(line)
}

// Kind says what a Piece of the input is.
type Kind int

// Kinds of pieces.
const (
	More    Kind = iota // nothing: more input is needed
	Record              // a record and its delimiter
	Skipped             // a part of a record that is too long
	SkipEnd             // the last part of it
)

// Piece is what the input begins with.
type Piece struct {
	Kind  Kind
	Bytes int    // how many of the input it takes
	Value []byte // of a Record: a part of the input
	Cut   bool   // of a Record: the input ended before its delimiter
}

// Splitter cuts a file's bytes into records. It keeps state between calls: the next input
// begins where the last Piece ended.
type Splitter struct {
	Format
	skipping bool // inside of a record that is too long
	first    bool // while skipping: the next byte belongs to the record's first line
	midLine  bool // while skipping: the next byte is not the first of a line
	scanned  int  // of the input: no delimiter begins before this
	lines    int  // of the input: where the first line begins that was not examined
}

// Reset forgets what was seen: the next input is the beginning of a record.
func (s *Splitter) Reset() { *s = Splitter{Format: s.Format} }

// Skipping reports whether the next input belongs to a record that is too long.
func (s *Splitter) Skipping() bool { return s.skipping }

// Next finds the first piece of in. With end, nothing follows in. After More, the next call
// must give the same bytes again, and more of them.
func (s *Splitter) Next(in []byte, end bool) Piece {
	if end { // the input may be shorter than the last one
		s.scanned, s.lines = 0, 0
	}
	var p Piece
	if s.skipping {
		p = s.skip(in, end)
	} else {
		p = s.record(in, end)
	}
	if p.Kind != More {
		s.scanned, s.lines = 0, 0
	}
	return p
}

// line finds the end of the line that begins at s.lines; n includes the delimiter. ok is false if the
// input holds no whole line there.
func (s *Splitter) line(in []byte) (end, n int, ok bool) {
	from := max(s.scanned, s.lines)
	at := bytes.Index(in[from:], s.Delim)
	if at < 0 {
		s.scanned = max(from, len(in)-len(s.Delim)+1)
		return 0, 0, false
	}
	return from + at, from + at + len(s.Delim), true
}

func (s *Splitter) record(in []byte, end bool) Piece {
	for {
		stop, next, ok := s.line(in)
		if !ok {
			break
		}
		if s.Starts == nil {
			return s.whole(in[:stop], next, false)
		}
		// A line that begins a record ends the one before it.
		if s.lines > 0 && s.Starts(in[s.lines:stop]) {
			return s.whole(in[:s.lines-len(s.Delim)], s.lines, false)
		}
		s.lines = next
		if s.lines-len(s.Delim) > s.limit() {
			break
		}
	}
	switch {
	case len(in) > s.limit()+len(s.Delim): // TrimCR may take one, the delimiter's beginning is not part of it
		s.skipping, s.first, s.midLine = true, true, false
		return s.skip(in, end)
	case !end || len(in) == 0:
		return Piece{}
	case s.lines == len(in): // whole lines, and the input ends
		return s.whole(in[:len(in)-len(s.Delim)], len(in), false)
	case s.Starts != nil && s.lines > 0 && s.Starts(in[s.lines:]):
		return s.whole(in[:s.lines-len(s.Delim)], s.lines, false)
	}
	return s.whole(in, len(in), true)
}

// limit is how long a record may be before its carriage return is taken off.
func (s *Splitter) limit() int {
	if s.TrimCR {
		return s.Max + 1
	}
	return s.Max
}

func (s *Splitter) whole(value []byte, n int, cut bool) Piece {
	if s.TrimCR {
		value = bytes.TrimSuffix(value, []byte{'\r'})
	}
	if len(value) > s.Max {
		return Piece{Kind: SkipEnd, Bytes: n}
	}
	return Piece{Kind: Record, Bytes: n, Value: value, Cut: cut}
}

// skip takes the rest of a record that is too long: up to its delimiter, or up to the first line that
// begins a record.
func (s *Splitter) skip(in []byte, end bool) Piece {
	n := 0
	for {
		at := bytes.Index(in[n:], s.Delim)
		if at < 0 {
			break
		}
		if s.begins(in[n : n+at]) {
			return s.skipped(n)
		}
		n += at + len(s.Delim)
		s.first, s.midLine = false, false
		if s.Starts == nil {
			return s.skipped(n)
		}
	}
	rest := in[n:]
	switch {
	case end && len(rest) > 0 && s.begins(rest):
		return s.skipped(n)
	case end:
		return s.skipped(len(in))
	case s.Starts != nil && !s.first && !s.midLine && len(rest) <= s.limit():
		// This line is examined when it is whole.
	default:
		keep := min(len(s.Delim)-1, len(rest)) // the beginning of a delimiter, perhaps
		if take := len(rest) - keep; take > 0 {
			n += take
			s.midLine = true
		}
	}
	if n == 0 {
		return Piece{}
	}
	return Piece{Kind: Skipped, Bytes: n}
}

// begins reports whether a line behind the first of a skipped record begins the next record.
func (s *Splitter) begins(line []byte) bool {
	return s.Starts != nil && !s.first && !s.midLine && s.Starts(line)
}

func (s *Splitter) skipped(n int) Piece {
	s.skipping = false
	return Piece{Kind: SkipEnd, Bytes: n}
}
