package bolt

import (
	"errors"
	"os"

	"github.com/spoold/spoold/spool"
)

// Report is what Check has found in a spool.
type Report struct {
	Segments int   // files that were read
	Bytes    int64 // of them
	Blocks   int
	Records  int // in blocks, those that have left too
	Problems []Problem
}

// Problem is something that is not as it was written.
type Problem struct {
	Path string // of the file
	Err  error
}

// Check reads every byte of the spool in a directory, and compares it with its checksums, each file with what the list of
// segments says of it, and each entry with its form. Nothing is changed. read is called after each file with the bytes that
// were read, and all there are. *LockedError: a daemon has it. The error is one of the system; what is wrong is in the Report.
func Check(path string, read func(done, all int64)) (*Report, error) {
	l, err := takeLock(path, false)
	if err != nil {
		return nil, err
	}
	defer l.release()
	numbers, _, err := listSegments(path)
	if err != nil {
		return nil, err
	}
	all := int64(0)
	for _, n := range numbers {
		if st, err := os.Stat(segmentPath(path, n)); err == nil {
			all += st.Size()
		}
	}
	rep := &Report{}
	for _, n := range numbers {
		if err := rep.segment(path, n); err != nil {
			return nil, err
		}
		read(rep.Bytes, all)
	}
	found, err := survey(path, l, surveyOptions{})
	switch {
	case err != nil:
		return rep, rep.add(path, err)
	case found == nil:
		return nil, &NoSpoolError{Path: path}
	}
	return rep, rep.lanes(path, found)
}

// add notes a problem, or hands on an error of the system.
func (rep *Report) add(path string, err error) error {
	var damage *spool.CorruptError
	var version *VersionError
	switch {
	case errors.As(err, &damage):
		damage.Path = segmentPath(path, damage.Segment)
		for _, p := range rep.Problems {
			if p.Path == damage.Path {
				return nil // it is known
			}
		}
		rep.Problems = append(rep.Problems, Problem{damage.Path, err})
		return nil
	case errors.As(err, &version):
		rep.Problems = append(rep.Problems, Problem{version.Path, err})
		return nil
	}
	return err
}

// segment reads one file.
func (rep *Report) segment(dir string, number uint64) error {
	im, err := readFile(dir, number, imageParts{state: true, bodies: true})
	if err != nil {
		return rep.add(dir, err)
	}
	rep.Segments++
	rep.Blocks += len(im.blocks)
	f, err := os.Open(segmentPath(dir, number))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err == nil {
		rep.Bytes += st.Size()
	}
	var buf []byte
	for i := range im.blocks {
		b := &im.blocks[i]
		for k := range b.sections {
			s := &b.sections[k]
			if cap(buf) < s.Len {
				buf = make([]byte, s.Len)
			}
			sect := spool.Section{Lane: s.Lane, Spans: s.Spans, Bytes: buf[:s.Len]}
			if _, err := f.ReadAt(sect.Bytes, b.offset+int64(s.Off)); err != nil {
				return err
			}
			if err := eachEntry(&sect, func(spool.Index, []byte) { rep.Records++ }); err != nil {
				return rep.add(dir, corrupt(number, b.number, "%v", err))
			}
		}
	}
	return nil
}

// lanes looks whether every entry that is needed is in exactly one segment.
func (rep *Report) lanes(dir string, found *surveyed) error {
	in := &Inspection{dir: dir, found: found}
	have := make([]int, found.state.Lanes())
	for _, n := range in.numbers() {
		im, err := in.read(n, imageParts{})
		if err != nil {
			return rep.add(dir, err)
		}
		listed := in.listed(n)
		for id, l := range im.index(unitRunsOf(found.state)).lanes {
			if int(id) >= len(have) {
				continue
			}
			gone := found.state.Gone(id)
			for i := range l.refs {
				have[id] += l.refs[i].needed(id, gone, listed)
			}
		}
	}
	for i := range have {
		id := spool.LaneID(i)
		end := found.state.End(id)
		if want := int(end) - found.state.Gone(id).CountIn(spool.Span{End: end}) - countSpans(found.state.Missing(id)); want != have[i] {
			err := corrupt(found.number, spool.NoBlock, "%d records of topic %q are needed, the segments hold %d", want, found.state.Topic(id), have[i])
			err.Path = segmentPath(dir, found.number)
			rep.Problems = append(rep.Problems, Problem{err.Path, err})
		}
	}
	return nil
}

// needed counts the entries of a section that are needed and listed.
func (r *ref) needed(id spool.LaneID, gone spool.Gone, listed func(spool.LaneID, spool.Index) bool) (n int) {
	spans := r.spans
	if spans == nil {
		spans = []spool.Span{r.span}
	}
	for _, sp := range spans {
		if gone.CountIn(sp) == sp.Len() {
			continue
		}
		for i := sp.First; i < sp.End; i++ {
			if !gone.Contains(i) && listed(id, i) {
				n++
			}
		}
	}
	return n
}
