package bolt

import (
	"errors"
	"os"
	"path/filepath"
)

// Preflight gives the error with which Open would refuse a spool, as far as that is seen without a change: nothing is written, made
// or removed. Where there is no spool yet, only the size of the disk is looked at. *LockedError: a process has it. It blocks on the disk.
func Preflight(options Options) error {
	o := options.withDefaults()
	l, err := takeLock(o.Path, false)
	var none *NoSpoolError
	switch {
	case errors.As(err, &none):
		at := nearest(o.Path)
		s := newStore(o, nil)
		s.dir = at
		return errors.Join(s.space.scale(), s.space.tooSmall)
	case err != nil:
		return err
	}
	defer l.release()
	return damageIn(o.Path, (&opening{Store: newStore(o, l)}).preflight())
}

func (s *opening) preflight() error {
	found, err := survey(s.dir, s.lock, surveyOptions{setAside: !s.opt.StopOnDamage})
	if err != nil {
		return err
	}
	if err := s.space.scale(); err != nil {
		return err
	}
	if s.space.tooSmall != nil && (found == nil || found.state.Counters().Pending() == 0) {
		return s.space.tooSmall
	}
	if found == nil {
		return nil
	}
	s.state = found.state
	if !s.opt.Adopt && s.foreign(machineID()) {
		return ErrForeign
	}
	return nil
}

// nearest is a directory, or the nearest one above it that is there.
func nearest(dir string) string {
	for {
		info, err := os.Stat(dir)
		if up := filepath.Dir(dir); err != nil && up != dir || err == nil && !info.IsDir() {
			dir = up
			continue
		}
		return dir
	}
}
