package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// run runs the program inside the test.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	home := t.TempDir()
	env := func(name string) string {
		if name == "HOME" {
			return home
		}
		return ""
	}
	code = Main{}.Run(t.Context(), append([]string{"spoold"}, args...), strings.NewReader(stdin), &out, &errs, env)
	return code, out.String(), errs.String()
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	commands := [][]string{{}}
	for _, c := range newApp(&world{}).Commands {
		commands = append(commands, []string{c.Name})
		for _, sub := range c.Subcommands {
			commands = append(commands, []string{c.Name, sub.Name})
		}
	}
	for _, command := range commands {
		code, out, errs := run(t, "", append(command, "--help")...)
		if code != 0 || errs != "" || !strings.Contains(out, "Example") {
			t.Errorf("%v --help: code %d, stderr %q, stdout:\n%s", command, code, errs, out)
		}
	}
}

func TestFlagsMayFollowArguments(t *testing.T) {
	got := permute(newApp(&world{}), []string{"spoold", "resolve", "orders:2", "--resend", "--spool", "/s", "--json"})
	if want := "spoold resolve --resend --spool /s --json -- orders:2"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// Two runs in one process share nothing that they write. Fails under the race detector only.
func TestCommandsRunBesideEachOther(t *testing.T) {
	var both sync.WaitGroup
	for _, args := range [][]string{{"--help"}, {"dlq", "ls", "--help"}, {"--version"}, {"version"}} {
		both.Go(func() {
			if code, out, errs := run(t, "", args...); code != 0 || out == "" {
				t.Errorf("%q: exit code %d, printed %q and %q", args, code, out, errs)
			}
		})
	}
	both.Wait()
}
