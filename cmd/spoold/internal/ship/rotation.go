package ship

import (
	"cmp"
	"path"
	"strconv"
	"strings"
)

// Name is a path taken apart: which log it belongs to, and its place among that log's rotated files.
type Name struct {
	Path string
	Base string // the path of the log: without the suffixes that rotation and compression add
	Gzip bool
	mark string // the suffix that rotation added; "": this is the log itself
}

// Rotated reports whether the name is one that rotation gives.
func (n *Name) Rotated() bool { return n.mark != "" || n.Gzip }

// ParseName takes a path apart. Rotated files of app.log are app.log.1, app.log-20261129,
// app.log.2026-11-29, app.log.old, and app-2026-11-29T10-00-00.log; each of them may end in .gz, too.
func ParseName(file string) Name {
	n := Name{Path: file}
	dir, name := path.Split(file)
	if plain, ok := strings.CutSuffix(name, ".gz"); ok && plain != "" {
		n.Gzip, name = true, plain
	}
	root, mark := cutMark(name, 1)
	if mark == "" {
		// The date in front of the extension. A short number there is part of a name: server-1.log.
		ext := path.Ext(name)
		if stem, dated := cutMark(strings.TrimSuffix(name, ext), 8); dated != "" && ext != "" {
			root, mark = stem+ext, dated
		}
	}
	n.Base, n.mark = dir+root, mark
	return n
}

// cutMark splits a name into what is in front of its last mark, and the mark: old, or a number or date with
// at least so many digits.
func cutMark(name string, digits int) (root, mark string) {
	if root, ok := strings.CutSuffix(name, ".old"); ok && root != "" {
		return root, "old"
	}
	at := len(name)
	count := 0
	for at > 0 {
		c := name[at-1]
		if c >= '0' && c <= '9' {
			count++
		} else if c != '-' && c != '.' && c != '_' && c != ':' && c != 'T' {
			break
		}
		at--
	}
	// The mark begins with a digit, behind a separator.
	for at < len(name) && (name[at] < '0' || name[at] > '9') {
		at++
	}
	if at == len(name) || count < digits || at < 2 || (name[at-1] != '.' && name[at-1] != '-') {
		return name, ""
	}
	return name[:at-1], name[at:]
}

// Older compares two names of one log: negative if a was written before b. 0: the names do not say it.
func Older(a, b *Name) int {
	switch {
	case a.mark == "" || b.mark == "":
		return cmp.Compare(len(b.mark), len(a.mark)) // the log itself is the newest
	case short(a.mark) && short(b.mark):
		return cmp.Compare(number(b.mark), number(a.mark)) // .2 is older than .1
	case !short(a.mark) && !short(b.mark):
		return cmp.Compare(a.mark, b.mark) // dates
	}
	return 0
}

// short reports whether a mark is a number that grows with each rotation, not a date.
func short(mark string) bool { return mark == "old" || len(mark) < 6 }

func number(mark string) int {
	if mark == "old" {
		return 1
	}
	n, err := strconv.Atoi(mark)
	if err != nil {
		return 0
	}
	return n
}
