package spoold_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold/cmd/spoold/producers"
	"github.com/spoold/spoold/integration/freeport"
)

// Scripts of the README call curl; this test binary, by that name, is one, so that
// the test needs nothing but Go.
func init() {
	if filepath.Base(os.Args[0]) == "curl" {
		if err := curl(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "curl:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// What the README shows works as shown: console blocks are run against an embedded broker
// and their output compared ("…" stands for anything), Go blocks are compiled and run.
func TestReadmeSnippetsDoWhatTheReadmeSays(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"$ go run ./cmd/spoold demo\n", "\ngo test ./...\n"} {
		if !bytes.Contains(raw, []byte(command)) {
			t.Errorf("the README does not show %q", strings.TrimSpace(command))
		}
	}
	kinds := snippetsOf(t, raw, programs(t))
	if kinds["console"] < 3 || kinds["go"] < 1 {
		t.Errorf("found %v: the README has at least three console blocks and a program", kinds)
	}
}

// The pages of the guide show sessions, which work as shown, too.
func TestGuideSessionsDoWhatTheGuideSays(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, bin := 0, programs(t)
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("```console\n$ ")) {
			shown++
			t.Run(filepath.Base(page), func(t *testing.T) {
				t.Parallel()
				snippetsOf(t, raw, bin)
			})
		}
	}
	if shown == 0 {
		t.Error("no page shows a session")
	}
}

// snippetsOf runs what a document shows with the programs in bin, and counts it by kind.
func snippetsOf(t *testing.T, raw []byte, bin string) map[string]int {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	producers.Describe(broker)
	s := &snippets{dir: t.TempDir(), bin: bin}
	s.replace = strings.NewReplacer(
		"localhost:9092", broker.ListenAddrs()[0],
		"127.0.0.1:8082", freeport.Addr(t), "127.0.0.1:9095", freeport.Addr(t),
		"/var/lib/myapp/spool", filepath.Join(s.dir, "library"),
		"go run ./cmd/spoold", "spoold")
	blocks := regexp.MustCompile("(?ms)^```(console|go)\n(.*?)^```$").FindAllStringSubmatch(string(raw), -1)
	kinds := make(map[string]int)
	for _, b := range blocks {
		kinds[b[1]]++
		t.Run(fmt.Sprintf("%s %d", b[1], kinds[b[1]]), func(t *testing.T) {
			t.Parallel() // the demo takes its seconds
			if b[1] == "go" {
				s.program(t, s.replace.Replace(b[2]))
				return
			}
			s.console(t, s.replace.Replace(b[2]))
		})
	}
	return kinds
}

type snippets struct {
	dir     string // of the session
	bin     string // of the programs
	replace *strings.Replacer
}

// programs is a directory with what sessions call.
func programs(t *testing.T) string {
	t.Helper()
	bin, err := builtPrograms()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// builtPrograms builds the programs once. removePrograms removes them.
var builtPrograms = sync.OnceValues(func() (string, error) {
	bin, err := os.MkdirTemp("", "spoold-programs")
	if err != nil {
		return "", err
	}
	programsDir = bin
	if out, err := exec.Command("go", "build", "-ldflags=-s", "-o", filepath.Join(bin, "spoold"), "./cmd/spoold").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return bin, os.Symlink(self, filepath.Join(bin, "curl"))
})

var programsDir string // that of builtPrograms; "": not built

// removePrograms removes what sessions called, after all tests.
func removePrograms() {
	if programsDir != "" {
		_ = os.RemoveAll(programsDir) // a temporary directory
	}
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// program compiles a Go snippet and runs it.
func (s *snippets) program(t *testing.T, source string) {
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	out := run(t, exec.CommandContext(t.Context(), "go", "run", "-ldflags=-s", file))
	if out != "audit offset 0\n" {
		t.Errorf("the program printed %q", out)
	}
}

// console runs the lines that begin with "$" one after the other. One that ends in "&"
// runs on until the block ends.
func (s *snippets) console(t *testing.T, text string) {
	for i, part := range strings.Split("\n"+text, "\n$ ") {
		if i == 0 {
			continue
		}
		line, want, _ := strings.Cut(part, "\n")
		if background, ok := strings.CutSuffix(line, " &"); ok {
			cmd := s.shell(context.Background(), "exec "+background) // its end is the clean-up below
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("%s: %v", background, err)
				}
			})
			continue
		}
		got := strings.TrimSpace(run(t, s.shell(t.Context(), line)))
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", "(?s:.*)")
		if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("$ %s\nprints\n%s\nthe README shows\n%s", line, got, want)
		}
	}
}

func (s *snippets) shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_STATE_HOME="+filepath.Join(s.dir, "state"),
		"PATH="+s.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}

// curl does what the README's commands need: -H, -d, a URL, and patience.
func curl(args []string) error {
	var url, body string
	header := make(http.Header)
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-sS", "--retry-connrefused":
		case "--retry":
			i++
		case "-H":
			i++
			name, value, _ := strings.Cut(args[i], ":")
			header.Set(name, strings.TrimSpace(value))
		case "-d", "--data-binary":
			i++
			body = args[i]
			if file, ok := strings.CutPrefix(body, "@"); ok {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				body = string(text)
			}
		default:
			url = args[i]
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			defer func() { _ = resp.Body.Close() }() // it is read to its end
			_, err = io.Copy(os.Stdout, resp.Body)
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// A page that no other leads to is not found by anybody.
func TestEveryPageOfTheGuideIsInItsIndex(t *testing.T) {
	index, err := os.ReadFile("docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !bytes.Contains(index, []byte("("+name+")")) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

// An invariant whose test was renamed or removed is a claim without proof.
func TestTestsThatTheDocumentsNameExist(t *testing.T) {
	t.Parallel()
	dirs, err := sources(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, files := range dirs {
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				code.Write(raw)
			}
		}
	}
	documents := []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/proof/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil || len(pages) == 0 {
			t.Fatalf("%s: %d pages, %v", pattern, len(pages), err)
		}
		documents = append(documents, pages...)
	}
	for _, document := range documents {
		raw, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(raw), -1) {
			if !strings.Contains(code.String(), "func "+name+"(") {
				t.Errorf("%s names %s, which does not exist", document, name)
			}
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(raw), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), link[1])); err != nil {
				t.Errorf("%s links to %s: %v", document, link[1], err)
			}
		}
	}
}
