package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fullDisk is standard output on a full disk.
type fullDisk struct{ n int }

func (f *fullDisk) Write([]byte) (int, error) {
	f.n++
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

func TestEachCommandSaysThatItsResultCannotBeWritten(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	if code, _, errs := run(t, "x\n", "produce", "-b", "localhost:1", "-t", "t", "--wait", "spooled", "--spool", spool); code != 0 {
		t.Fatalf("produce: code %d, %s", code, errs)
	}
	home := t.TempDir()
	for _, args := range [][]string{
		{"help"}, {"--help"}, {"ls", "--help"}, {"version"}, {"man"}, {"completion", "bash"}, {"config", "print", "-b", "x:1"}, {"config", "explain", "linger.ms"},
		{"doctor", "--no-link", "--spool", spool}, {"doctor", "--no-link", "--json", "--spool", spool}, {"ls", "--spool", spool}, {"ls", "--all"}, {"peek", "--spool", spool}, {"export", "--spool", spool},
		{"status", "--spool", spool}, {"dlq", "ls", "--spool", spool}, {"check", "--spool", spool}, {"hash-token"},
		{"produce", "-b", "localhost:1", "-t", "t", "--wait", "spooled", "--spool", spool, "--json"},
	} {
		var errs strings.Builder
		out := &fullDisk{}
		code := Main{}.Run(t.Context(), append([]string{"spoold"}, args...), strings.NewReader(""), out, &errs, func(name string) string {
			return map[string]string{"HOME": home}[name]
		})
		if code != exitIO || !strings.Contains(errs.String(), "cannot be written to stdout") || out.n == 0 {
			t.Errorf("spoold %s: code %d after %d writes, %s", strings.Join(args, " "), code, out.n, &errs)
		}
	}
}

// What else is wrong goes before it.
func TestAnotherErrorThanThatOfStandardOutputStays(t *testing.T) {
	out := &output{Writer: io.Discard}
	other := errors.New("other")
	if err := out.fault(other); !errors.Is(err, other) {
		t.Errorf("%v, want %v", err, other)
	}
	out.Writer = &fullDisk{}
	_, _ = out.Write(nil)
	if err := out.fault(usagef("other")); codeOf(err) != exitUsage {
		t.Errorf("%v, code %d", err, codeOf(err))
	}
	if err := out.fault(&exitError{code: exitProblem}); codeOf(err) != exitIO {
		t.Errorf("%v, code %d: what was said could not be", err, codeOf(err))
	}
}

func TestAClosedStandardOutputIsNoSuccess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exec spoold version >&-")
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitIO || !strings.Contains(string(text), "it is closed") {
		t.Errorf("%v, %s", err, text)
	}
}

// What is to be typed can be typed.
func TestTheSpoolOfAHintIsOneWord(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "a b")
	_, _, errs := run(t, "x\n", "produce", "-b", "localhost:1", "-t", "t", "--timeout", "1ms", "--spool", spool)
	if !strings.Contains(errs, "spoold flush -b localhost:1 --spool '"+spool+"' delivers it") {
		t.Errorf("%s", errs)
	}
	if got := shellWord("it's"); got != `'it'\''s'` {
		t.Errorf("shellWord = %s", got)
	}
}
