package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
	"github.com/spoold/spoold/internal/keytable"
)

// shipKey is one option of a ship section.
type shipKey struct {
	name string
	set  func(s *shipSection, value string) error
}

// shipSection is what the daemon's configuration says under ship.NAME.
type shipSection struct {
	name   string
	shape  recordShape
	follow follow.Options
	said   map[string]string // option → value
	source map[string]string // option → where it was said
}

// shipKeys are the options of a section, in the order in which they are printed.
var shipKeys = []shipKey{
	{"topic", func(s *shipSection, v string) error { s.shape.template.Topic = v; return nil }},
	{"files", func(s *shipSection, v string) error {
		for f := range strings.SplitSeq(v, ",") {
			if f = strings.TrimSpace(f); f != "" {
				s.follow.Patterns = append(s.follow.Patterns, expandHome(f))
			}
		}
		return nil
	}},
	{"key.delimiter", func(s *shipSection, v string) (err error) {
		s.shape.keyDelim, err = delimiter("config", "K", v)
		return err
	}},
	{"key.file", boolKey(func(s *shipSection) *bool { return &s.shape.keyFile })},
	{"header.file", boolKey(func(s *shipSection) *bool { return &s.shape.file })},
	{"header.offset", boolKey(func(s *shipSection) *bool { return &s.shape.offset })},
	{"multiline.start", func(s *shipSection, v string) error {
		re, err := regexp.Compile(v)
		if err == nil {
			s.follow.Format.Starts = re.Match
		}
		return err
	}},
	{"too.long", func(s *shipSection, v string) (err error) {
		s.follow.TooLong, err = policy(v)
		return err
	}},
	{"keep.cr", func(s *shipSection, v string) error {
		keep, err := keytable.ParseBool(v)
		s.follow.Format.TrimCR = !keep
		return err
	}},
	{"poll", durationKey(func(s *shipSection) *time.Duration { return &s.follow.Poll })},
	{"quiet", durationKey(func(s *shipSection) *time.Duration { return &s.follow.Quiet })},
	{"remember", func(s *shipSection, v string) (err error) {
		s.follow.Remember, err = strconv.Atoi(v)
		if err != nil || s.follow.Remember < 1 {
			err = errors.New("it must be a whole number above 0")
		}
		return err
	}},
}

func boolKey(field func(*shipSection) *bool) func(*shipSection, string) error {
	return func(s *shipSection, v string) (err error) {
		*field(s), err = keytable.ParseBool(v)
		return err
	}
}

func durationKey(field func(*shipSection) *time.Duration) func(*shipSection, string) error {
	return func(s *shipSection, v string) (err error) {
		*field(s), err = time.ParseDuration(v)
		if err != nil || *field(s) < leastPoll {
			err = fmt.Errorf("it must be a duration of at least %v, such as 500ms, 2s or 1m30s", leastPoll)
		}
		return err
	}
}

// policy is what becomes of a line that is too long.
func policy(v string) (follow.Policy, error) {
	p := follow.Policy(v)
	if p != follow.Fail && p != follow.Skip && p != follow.DeadLetter {
		return "", errors.New("it must be fail, skip or dead-letter")
	}
	return p, nil
}

const shipPrefix = "ship."

// setShip gives an option of a section its value.
func (s *settings) setShip(key, value, source string) error {
	name, option, ok := strings.Cut(strings.TrimPrefix(key, shipPrefix), ".")
	if !ok || name == "" {
		return exitf(exitConfig, "%s: %s has no options: %s.files is what it needs", source, key, key)
	}
	at := slices.IndexFunc(shipKeys, func(k shipKey) bool { return k.name == option })
	if at < 0 {
		var names []string
		for _, k := range shipKeys {
			names = append(names, k.name)
		}
		if near := keytable.Nearest(option, names); near != "" {
			return exitf(exitConfig, "%s: %s: unknown option of a ship section; did you mean %s?", source, key, near)
		}
		return exitf(exitConfig, "%s: %s: unknown option of a ship section; there are %s", source, key, strings.Join(names, ", "))
	}
	if s.ship == nil {
		s.ship = make(map[string]*shipSection)
	}
	sec := s.ship[name]
	if sec == nil {
		sec = &shipSection{name: name, said: map[string]string{}, source: map[string]string{}}
		sec.shape.template.Topic = name
		sec.follow.Format = ship.Format{Delim: []byte("\n"), TrimCR: true}
		s.ship[name] = sec
	}
	if option == "files" {
		sec.follow.Patterns = nil // said again: instead of what was said before
	}
	if err := shipKeys[at].set(sec, value); err != nil {
		return exitf(exitConfig, "%s: %s: %q: %w", source, key, value, err)
	}
	sec.said[option], sec.source[option] = value, source
	return nil
}

// sections are the ship sections, by name.
func (s *settings) sections() []*shipSection {
	var list []*shipSection
	for _, name := range slices.Sorted(maps.Keys(s.ship)) {
		list = append(list, s.ship[name])
	}
	return list
}

// validateShip checks each section as a whole.
func (s *settings) validateShip() []error {
	var errs []error
	for _, sec := range s.sections() {
		where := ""
		for _, source := range sec.source {
			where = source
		}
		if src := sec.source["files"]; src != "" {
			where = src
		}
		if len(sec.follow.Patterns) == 0 {
			errs = append(errs, exitf(exitConfig, "%s: ship.%s: no files are given: ship.%s.files", where, sec.name, sec.name))
			continue
		}
		if sec.shape.keyFile && sec.shape.keyDelim != nil {
			errs = append(errs, exitf(exitConfig, "%s: ship.%s: key.file and key.delimiter both say what the key is", where, sec.name))
		}
		if _, err := follow.New(sec.follow, nil); err != nil {
			errs = append(errs, exitf(exitConfig, "%s: ship.%s: %w", where, sec.name, err))
		}
		if err := spoold.CheckTopic(sec.shape.template.Topic); err != nil {
			errs = append(errs, exitf(exitConfig, "%s: ship.%s: %w", where, sec.name, err))
		}
	}
	return errs
}
