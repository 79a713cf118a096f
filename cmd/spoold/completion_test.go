package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestCompletionNamesEveryCommandAndFlag(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, errs := run(t, "", "completion", shell)
		if code != 0 || errs != "" {
			t.Fatalf("%s: code %d, %s", shell, code, errs)
		}
		for _, c := range newApp(&world{}).Commands {
			if !strings.Contains(out, c.Name) {
				t.Errorf("%s: %s is not there", shell, c.Name)
			}
		}
		for _, want := range []string{"multiline-start", "too-long", "bootstrap-server", "print"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %s is not there", shell, want)
			}
		}
	}
	if code, _, errs := run(t, "", "completion", "tcsh"); code != exitUsage || !strings.Contains(errs, "one of bash, zsh and fish") {
		t.Errorf("code %d: %s", code, errs)
	}
}

func TestBashCompletesCommandsAndFlags(t *testing.T) {
	t.Parallel()
	_, script, _ := run(t, "", "completion", "bash")
	for _, tt := range []struct{ words, want string }{
		{"spoold pro", "produce"},
		{"spoold ship --multi", "--multiline-start"},
		{"spoold config pr", "print"},
		{"spoold config print --with", "--with-defaults"},
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script+`COMP_WORDS=(`+tt.words+`); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _spoold; echo "${COMPREPLY[@]}"`)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != tt.want {
			t.Errorf("%s completes to %q, %v; want %s", tt.words, out, err, tt.want)
		}
	}
}

func TestManAndHelpComeFromTheCommands(t *testing.T) {
	t.Parallel()
	code, out, _ := run(t, "", "man")
	for _, want := range []string{".TH", "ship", "multiline"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("man: code %d, %q is not there", code, want)
		}
	}
	_, help, _ := run(t, "", "ship", "--help")
	if code, out, errs := run(t, "", "help", "ship"); code != 0 || out != help {
		t.Errorf("help ship: code %d %s, differs from ship --help:\n%s", code, errs, out)
	}
	if code, out, _ := run(t, "", "help"); code != 0 || !strings.Contains(out, "produce") {
		t.Errorf("help: code %d:\n%s", code, out)
	}
	if code, _, errs := run(t, "", "help", "shop"); code != exitUsage || !strings.Contains(errs, `did you mean "ship"?`) {
		t.Errorf("help shop: code %d: %s", code, errs)
	}
}
