package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
	"github.com/spoold/spoold/internal/keytable"
)

// Main is the program. The zero value is ready.
type Main struct{}

// world is what a command may touch of the outside, apart from files and sockets.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
}

// Run does what args say (args[0] is the program's name) and returns the exit code.
// The end of ctx asks a long-running command to stop.
func (Main) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	out := &output{Writer: stdout}
	w := &world{stdin: stdin, stdout: out, stderr: stderr, env: env}
	app := newApp(w)
	err := out.fault(app.RunContext(ctx, permute(app, args)))
	if said(err) {
		return codeOf(err)
	}
	if err == nil {
		return exitOK
	}
	var none *spoold.NoSpoolError
	if errors.As(err, &none) {
		err = &exitError{codeOf(err), fmt.Errorf("%w; --spool DIR or -c FILE name another one", err)}
	}
	var followed *follow.FileError // else it is of the spool
	ofSpool := !errors.As(err, &followed)
	if ofSpool && errors.Is(err, syscall.ELOOP) {
		err = &exitError{codeOf(err), fmt.Errorf("%w: a file of a spool must be there itself: no symbolic link is followed to it", err)}
	}
	if ofSpool && errors.Is(err, syscall.ENOTDIR) {
		err = &exitError{codeOf(err), fmt.Errorf("%w: a spool is a directory, and so is all above it", err)}
	}
	sayError(stderr, err)
	return codeOf(err)
}

// sayError prints one line for each fault, and none twice.
func sayError(stderr io.Writer, err error) {
	var said []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimRight(line, "\n")
		if !slices.Contains(said, line) {
			fmt.Fprintf(stderr, "spoold: %s\n", line)
			said = append(said, line)
		}
	}
}

func newApp(w *world) *cli.App {
	app := &cli.App{
		Name:      "spoold",
		Usage:     "takes records, makes them durable here, and delivers each of them to Apache Kafka once, in order",
		UsageText: "spoold COMMAND [flags]\n\nExample: see the guarantee at work, with nothing but this program:\n\n   spoold demo",
		Version:   version().Version,
		Reader:    w.stdin, Writer: w.stdout, ErrWriter: w.stderr,
		Suggest:                   true,
		HideHelpCommand:           true,                     // there is one of our own,
		Flags:                     []cli.Flag{cli.HelpFlag}, // for which the library would leave this out
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {}, // Run does it
		OnUsageError:              usageFault,
		Commands: []*cli.Command{
			demoCommand(w), serveCommand(w), produceCommand(w), shipCommand(w), flushCommand(w), statusCommand(w), lsCommand(w),
			peekCommand(w), exportCommand(w), resolveCommand(w), dlqCommand(w), checkCommand(w), repairCommand(w), txnCommand(w), configCommand(w), doctorCommand(w), benchCommand(w), supportCommand(w), hashPasswordCommand(w), hashTokenCommand(w),
			versionCommand(w), helpCommand(w), completionCommand(w), manCommand(w),
		},
	}
	app.Action = func(c *cli.Context) error {
		if !c.Args().Present() {
			return cli.ShowAppHelp(c)
		}
		return unknownCommand(app.Commands, "", c.Args().First())
	}
	for _, cmd := range app.Commands {
		prepare(cmd, "")
		if slices.Contains(remoteCommands, cmd.Name) {
			addRemoteFlags(cmd)
		}
	}
	return app
}

// prepare gives a command what all of them have. under are the commands above it, each with a space behind it.
func prepare(cmd *cli.Command, under string) {
	cmd.OnUsageError = usageFault
	cmd.HideHelpCommand = true
	under += cmd.Name + " "
	if len(cmd.Subcommands) > 0 && cmd.Action == nil {
		cmd.Action = func(c *cli.Context) error {
			if !c.Args().Present() {
				return cli.ShowSubcommandHelp(c)
			}
			return unknownCommand(cmd.Subcommands, under, c.Args().First())
		}
	}
	for _, sub := range cmd.Subcommands {
		prepare(sub, under)
	}
}

func unknownCommand(commands []*cli.Command, under, name string) error {
	var names []string
	for _, cmd := range commands {
		if !cmd.Hidden {
			names = append(names, cmd.Name)
		}
	}
	if near := keytable.Nearest(name, names); near != "" {
		return usagef("unknown command %q; did you mean %q?", under+name, under+near)
	}
	return usagef("unknown command %q; spoold %s--help lists them", under+name, under)
}

// usageFault turns what the flag parser says into one line with the nearest flag.
func usageFault(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		var flags []cli.Flag
		if c.Command != nil {
			flags = c.Command.Flags
		}
		var names []string
		for _, f := range flags {
			names = append(names, f.Names()...)
		}
		near := otherNames[name]
		if !slices.Contains(names, near) {
			near = keytable.Nearest(name, names)
		}
		if near != "" {
			return usagef("unknown flag %s; did you mean %s?", dashed(name), dashed(near))
		}
		return usagef("unknown flag %s; see spoold help %s", dashed(name), nameOf(c))
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return usagef("flag %s needs a value; see spoold help %s", dashed(name), nameOf(c))
	}
	if m := badValue.FindStringSubmatch(text); m != nil {
		return usagef("flag %s: %s is not understood: want %s; see spoold help %s", dashed(m[2]), m[1], wanted(c, m[2]), nameOf(c))
	}
	return usagef("%s", strings.TrimSpace(text))
}

// otherNames are flags of Kafka's tools and other clients, by what spoold calls them.
var otherNames = map[string]string{
	"broker": "bootstrap-server", "brokers": "bootstrap-server", "broker-list": "bootstrap-server", "bootstrap-servers": "bootstrap-server",
	"producer-property": "X", "producer.config": "config", "command-config": "config", "property": "X", "data": "spool", "data-dir": "spool", "dir": "spool",
}

// badValue is what the flag parser says of a value: which, and of what flag.
var badValue = regexp.MustCompile(`^(?s:invalid (?:boolean )?value (".*") for (?:flag )?-([^ :]+):.*)$`)

// wanted says what the values of a flag look like.
func wanted(c *cli.Context, name string) string {
	if c.Command != nil {
		for _, f := range c.Command.Flags {
			if !slices.Contains(f.Names(), name) {
				continue
			}
			switch f.(type) {
			case *cli.DurationFlag:
				return "a time with its unit, such as 500ms, 5s, 2m or 24h"
			case *cli.IntFlag, *cli.Int64Flag, *cli.UintFlag, *cli.Uint64Flag:
				return "a whole number"
			case *cli.Float64Flag:
				return "a number"
			case *cli.BoolFlag:
				return "true or false, or the flag alone"
			}
		}
	}
	return "another value"
}

// dashed is a flag as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// permute puts a command's flags before its arguments, so that both
// `resolve TOPIC --resend` and `resolve --resend TOPIC` work.
func permute(app *cli.App, args []string) []string {
	commands, at := app.Commands, 1
	var cmd *cli.Command
	for at < len(args) {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		cmd = commands[i]
		commands = cmd.Subcommands
		at++
	}
	if cmd == nil {
		return args
	}
	if len(cmd.Subcommands) > 0 && at < len(args) && !strings.HasPrefix(args[at], "-") {
		return args // no such subcommand: that is what is wrong, whatever flags are behind it
	}
	takesValue := map[string]bool{}
	for _, f := range cmd.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	flags, rest := slices.Clone(args[:at]), []string(nil)
	for i := at; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		if a == "--help" || a == "-h" {
			return append(slices.Clone(args[:at]), a) // of the command, whatever else is there
		}
		flags = append(flags, a)
		name := strings.TrimLeft(a, "-")
		if takesValue[name] && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	if len(rest) > 0 {
		flags = append(flags, "--")
	}
	return append(flags, rest...)
}

// nameOf is a command with those above it, as it is typed: dlq ls.
func nameOf(c *cli.Context) string {
	return strings.TrimPrefix(c.Command.HelpName, c.App.HelpName+" ")
}

// noArgs refuses arguments that a command has no use for.
func noArgs(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("%s takes no argument, but got %q", nameOf(c), c.Args().First())
	}
	return nil
}

// isTerminal reports whether w may be redrawn.
func isTerminal(w io.Writer) bool {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
