package proof

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Page is docs/proof/README.md.
func Page(runs []*Run) []byte {
	var b bytes.Buffer
	b.WriteString(`# What was tried to break it

Written by the runs themselves (` + "`integration/proof`" + `): each part below is one run, with the commit
that ran and the command that repeats it. "No violation found" is all that a run can say: it does not
prove that there is none. What no run covers stands at the end.

| run | commit | wall time | violations found |
|---|---|---|---|
`)
	for _, r := range runs {
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %s | %s |\n", r.Title, anchor(r.Title), r.Commit, clock(r.Seconds), Thousands(r.Violations))
	}
	var left []string
	for _, r := range runs {
		r.write(&b)
		for _, what := range r.NotCovered {
			if !slices.Contains(left, what) {
				left = append(left, what)
			}
		}
	}
	b.WriteString("\n## Not covered\n\n")
	for _, what := range left {
		fmt.Fprintf(&b, "- %s\n", what)
	}
	return b.Bytes()
}

func (r *Run) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", r.Title, r.What)
	verdict := "No violation found"
	if r.Violations > 0 {
		verdict = Thousands(r.Violations) + " violations found"
	}
	fmt.Fprintf(b, "%s in a run of %s on %d cores, begun %s, commit `%s`:\n\n```sh\n%s\n```\n\n",
		verdict, clock(r.Seconds), r.Cores, r.Began.Format("2006-01-02 15:04 UTC"), r.Commit, r.Command)
	if len(r.Numbers) > 0 {
		b.WriteString("| | |\n|---|---:|\n")
		for _, n := range r.Numbers {
			fmt.Fprintf(b, "| %s | %s |\n", n.Name, n.Value)
		}
	}
	if len(r.Faults) > 0 {
		b.WriteString("\n| injected | times |\n|---|---:|\n")
		kinds := slices.SortedFunc(maps.Keys(r.Faults), func(x, y string) int {
			return cmp.Or(cmp.Compare(r.Faults[y], r.Faults[x]), strings.Compare(x, y))
		})
		for _, k := range kinds {
			fmt.Fprintf(b, "| %s | %s |\n", k, Thousands(r.Faults[k]))
		}
	}
	if len(r.Notes) > 0 {
		b.WriteByte('\n')
		for _, n := range r.Notes {
			fmt.Fprintf(b, "- %s\n", n)
		}
	}
}

func anchor(title string) string {
	var out strings.Builder
	for _, c := range strings.ToLower(title) {
		switch {
		case c == ' ':
			out.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
			out.WriteRune(c)
		}
	}
	return out.String()
}

func clock(seconds float64) string {
	s := int(seconds + 0.5)
	switch {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 7200:
		return fmt.Sprintf("%d min", (s+30)/60)
	}
	return fmt.Sprintf("%d h %02d min", s/3600, s%3600/60)
}

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
