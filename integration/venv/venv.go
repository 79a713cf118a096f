package venv

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/proof"
)

// With is an interpreter with a package: name and version as pip has them, module as Python has it. The first time it is
// installed, with args for pip. Needs Python 3 with venv and, the first time, the registry.
func With(t testing.TB, name, version, module string, args ...string) string {
	t.Helper()
	root, err := proof.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, ".cache", "clients", "venv")
	interpreter := filepath.Join(dir, "bin", "python")
	look := fmt.Sprintf("import importlib.metadata as m, importlib.util as u; assert m.version(%q) == %q and u.find_spec(%q)", name, version, module)
	if exec.CommandContext(t.Context(), interpreter, "-c", look).Run() == nil {
		return interpreter
	}
	install := append([]string{interpreter, "-m", "pip", "install", "-q", name + "==" + version}, args...)
	for _, args := range [][]string{{"python3", "-m", "venv", dir}, install, {interpreter, "-c", look}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return interpreter
}

// Folder is where a package that interpreter has lies. It is not imported.
func Folder(t testing.TB, interpreter, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), interpreter, "-c", fmt.Sprintf("import importlib.util as u; print(u.find_spec(%q).submodule_search_locations[0])", module)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
