package crashstates

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// Kind is what an Event does to the disk.
type Kind uint8

const (
	Create   Kind = iota + 1 // Path may have been made by this open
	Write                    // Data at Off
	Truncate                 // to Size
	Allocate                 // at least Size bytes
	Sync                     // the file, or the directory if Path is one
	Rename                   // Path to NewPath
	Unlink
	Mark       // Data was written to the file of marks
	FailedSync // as Sync, but it said EIO
	Restart    // not in a trace: a process has gone, and another one comes; see Case
)

func (k Kind) String() string {
	return [...]string{"?", "create", "write", "truncate", "allocate", "sync", "rename", "unlink", "mark", "failed sync", "restart"}[k]
}

// never is the end of a call that did not return.
const never = math.MaxInt

// Event is one system call that succeeded, or may have when the process was killed, or a sync that failed.
type Event struct {
	Kind          Kind
	Start, End    int // lines of the trace; End is never if it did not return
	Path, NewPath string
	Data          []byte
	Off, Size     int64
	Warm          bool   // of a Restart
	Seed          uint64 // of a Restart
}

// TraceCalls are the system calls to be traced; ParseTrace knows them.
const TraceCalls = "openat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,renameat,renameat2,rename,unlinkat,unlink"

// ParseTrace reads the output of `strace -f -y -xx -s N -e trace=TraceCalls` as far as it is about files
// directly inside dir, dir itself and the file of marks. It says how many lines there were.
func ParseTrace(r io.Reader, dir, marks string) ([]Event, int, error) {
	p := parser{dir: dir, marks: marks, open: map[string]pending{}}
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF && line == "" {
			break
		}
		if err != nil && err != io.EOF {
			return nil, 0, fmt.Errorf("crashstates: read the trace: %w", err)
		}
		p.line++
		if err := p.take(strings.TrimRight(line, "\n")); err != nil {
			return nil, 0, fmt.Errorf("crashstates: line %d of the trace: %w: %.200s … %s", p.line, err, line, line[max(len(line)-60, 0):])
		}
	}
	for _, u := range p.open { // killed inside the call
		if err := p.finish(u, "?"); err != nil {
			return nil, 0, err
		}
	}
	return p.sorted(), p.line, nil
}

type parser struct {
	dir, marks string
	line       int
	open       map[string]pending // by process id
	events     []Event
}

// pending is a call that another process' line interrupted.
type pending struct {
	start int
	text  string
}

func (p *parser) take(line string) error {
	pid, rest, ok := strings.Cut(strings.TrimLeft(line, " "), " ")
	rest = strings.TrimLeft(rest, " ")
	if !ok || strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "???(") { // the last: it ended while strace looked
		return nil
	}
	for _, cut := range []string{" <unfinished ...>", " <detached ...>"} { // the second: it was killed while strace looked at the call
		if text, ok := strings.CutSuffix(rest, cut); ok {
			p.open[pid] = pending{p.line, text}
			return nil
		}
	}
	if strings.HasPrefix(rest, "<... ") {
		_, tail, ok := strings.Cut(rest, " resumed>")
		u, known := p.open[pid]
		if !known && strings.HasPrefix(rest, "<... ???") { // such a one, if another's line came between
			return nil
		}
		if !ok || !known {
			return fmt.Errorf("a call ends that did not begin")
		}
		delete(p.open, pid)
		u.text += tail
		return p.whole(u)
	}
	return p.whole(pending{p.line, rest})
}

// whole takes a call with its result.
func (p *parser) whole(u pending) error {
	i := strings.LastIndex(u.text, " = ")
	if i < 0 {
		return fmt.Errorf("no result")
	}
	call := pending{u.start, strings.TrimRight(u.text[:i], " ")}
	result := strings.TrimSpace(u.text[i+3:])
	if strings.HasPrefix(result, "-1 (errno ") { // an error without a name: strace looked when its thread was gone
		result = "?"
	}
	return p.finish(call, result)
}

// argsOf is how many arguments a call has that makes an Event.
var argsOf = map[string]int{
	"openat": 3, "write": 3, "pwrite64": 4, "ftruncate": 2, "fallocate": 4, "fsync": 1, "fdatasync": 1,
	"renameat": 4, "renameat2": 4, "rename": 2, "unlinkat": 3, "unlink": 1,
}

// finish makes an Event of a call. Its result is "?" if nobody saw it.
func (p *parser) finish(u pending, result string) error {
	name, list, ok := strings.Cut(u.text, "(")
	if !ok {
		return fmt.Errorf("no arguments")
	}
	failed := strings.HasPrefix(result, "-1")
	if failed && name != "fsync" && name != "fdatasync" {
		return nil
	}
	args := splitArgs(strings.TrimSuffix(list, ")"))
	if len(args) < argsOf[name] && result == "?" {
		return nil // strace shows what a call is given before the kernel begins it
	}
	if len(args) < argsOf[name] {
		return fmt.Errorf("too few arguments")
	}
	e := Event{Start: u.start, End: p.line}
	if result == "?" {
		e.End = never
	}
	var err error
	number := func(i int) (n int64) {
		if err == nil && i < len(args) {
			n, err = strconv.ParseInt(args[i], 0, 64)
		}
		return n
	}
	of := func(i int) string { return pathOf(args[i]) }
	switch name {
	case "openat":
		if !strings.Contains(u.text, "O_CREAT") {
			return nil
		}
		e.Kind, e.Path = Create, of(1)
	case "write":
		e.Kind, e.Path = Mark, of(0)
		if e.Path != p.marks {
			return nil
		}
		e.Data, err = unquote(args[1])
	case "pwrite64":
		e.Kind, e.Path, e.Off = Write, of(0), number(3)
		if p.mine(e.Path) {
			e.Data, err = unquote(args[1])
			if n, bad := strconv.Atoi(result); bad == nil && n < len(e.Data) {
				e.Data = e.Data[:n]
			}
		}
	case "ftruncate":
		e.Kind, e.Path, e.Size = Truncate, of(0), number(1)
	case "fallocate":
		e.Kind, e.Path, e.Size = Allocate, of(0), number(2)+number(3)
	case "fsync", "fdatasync":
		e.Kind, e.Path = Sync, of(0)
		if failed {
			e.Kind = FailedSync
		}
	case "renameat", "renameat2":
		e.Kind, e.Path, e.NewPath = Rename, of(1), of(3)
	case "rename":
		e.Kind, e.Path, e.NewPath = Rename, of(0), of(1)
	case "unlinkat":
		e.Kind, e.Path = Unlink, of(1)
	case "unlink":
		e.Kind, e.Path = Unlink, of(0)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if e.Kind == Mark || p.mine(e.Path) || e.isSync() && e.Path == p.dir {
		p.events = append(p.events, e)
	}
	return nil
}

func (e *Event) isSync() bool { return e.Kind == Sync || e.Kind == FailedSync }

func (p *parser) mine(path string) bool { return filepath.Dir(path) == p.dir }

// sorted gives the events in the order in which they began.
func (p *parser) sorted() []Event {
	byStart := make([]*Event, p.line+1)
	for i := range p.events {
		byStart[p.events[i].Start] = &p.events[i]
	}
	out := make([]Event, 0, len(p.events))
	for _, e := range byStart {
		if e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// splitArgs splits at the commas outside of quotes and angle brackets. With -xx no quoted text holds either.
func splitArgs(s string) []string {
	var out []string
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				out = append(out, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(s[from:]))
}

// pathOf is the path in `7</path>` or in `"/path"`.
func pathOf(arg string) string {
	if i := strings.IndexByte(arg, '<'); i >= 0 {
		arg = strings.TrimSuffix(arg[i+1:], ">")
	}
	b, err := unquote(arg)
	if err != nil {
		return arg
	}
	return string(b)
}

// unquote reads \xHH; what is not written so, stands for itself.
func unquote(s string) ([]byte, error) {
	if strings.HasSuffix(s, "...") {
		return nil, fmt.Errorf("cut off: strace needs a larger -s")
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	out := make([]byte, 0, len(s)/4+1)
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i+3 >= len(s) || s[i+1] != 'x' {
			return nil, fmt.Errorf("unknown escape in %.40q", s[i:])
		}
		high, low := unhex[s[i+2]], unhex[s[i+3]]
		if high < 0 || low < 0 {
			return nil, fmt.Errorf("unknown escape in %.40q", s[i:])
		}
		out = append(out, byte(high<<4|low))
		i += 3
	}
	return out, nil
}

// unhex is the value of a hexadecimal digit, or -1.
var unhex = func() (t [256]int16) {
	for i := range t {
		t[i] = -1
	}
	for i := range int16(16) {
		t["0123456789abcdef"[i]], t["0123456789ABCDEF"[i]] = i, i
	}
	return t
}()
