package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func completionCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for bash, zsh or fish",
		ArgsUsage: "bash|zsh|fish",
		UsageText: "spoold completion bash|zsh|fish\n\nExample: completion in this bash, and in every later one:\n\n" +
			"   source <(spoold completion bash)\n   spoold completion bash > ~/.local/share/bash-completion/completions/spoold",
		Action: func(c *cli.Context) error {
			scripts := map[string]func(io.Writer, []completed){"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
			script := scripts[c.Args().First()]
			if c.NArg() != 1 || script == nil {
				return usagef("completion: want one of bash, zsh and fish")
			}
			var b strings.Builder
			script(&b, completable(nil, newApp(w).Commands))
			_, err := io.WriteString(w.stdout, b.String())
			return err
		},
	}
}

func manCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "print the manual page",
		UsageText: "spoold man\n\nExample: read it:\n\n   spoold man | man -l -",
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			page, err := newApp(w).ToManWithSection(1)
			if err != nil {
				return err
			}
			_, err = io.WriteString(w.stdout, page)
			return err
		},
	}
}

func helpCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		ArgsUsage: "[COMMAND…]",
		UsageText: "spoold help [COMMAND…]\n\nExample:\n\n   spoold help produce",
		Action: func(c *cli.Context) error {
			app := newApp(w)
			args := append([]string{"spoold"}, c.Args().Slice()...)
			commands := app.Commands
			for i, name := range args[1:] {
				at := slices.IndexFunc(commands, func(cmd *cli.Command) bool { return cmd.HasName(name) })
				if at < 0 {
					under := strings.Join(args[1:i+1], " ")
					if under != "" {
						under += " "
					}
					return unknownCommand(commands, under, name)
				}
				commands = commands[at].Subcommands
			}
			return app.RunContext(c.Context, append(args, "--help"))
		},
	}
}

// completed is a command as completion scripts need it.
type completed struct {
	path  string // of the command, without the program: "config print"
	usage string
	flags []flagWord
	subs  []string
}

// flagWord is one spelling of a flag.
type flagWord struct {
	word  string // with its dashes
	usage string
	value bool // it takes one
	files bool // the value is a path
}

// completable lists all commands, each in front of its subcommands.
func completable(above []string, commands []*cli.Command) (list []completed) {
	for _, cmd := range commands {
		path := append(slices.Clone(above), cmd.Name)
		c := completed{path: strings.Join(path, " "), usage: cmd.Usage, flags: []flagWord{{"--help", "show help", false, false}}}
		for _, f := range cmd.Flags {
			doc, ok := f.(cli.DocGenerationFlag)
			if !ok {
				continue
			}
			usage := strings.NewReplacer("`", "", "\n", " ").Replace(doc.GetUsage())
			for _, name := range f.Names() {
				dashes := "--"
				if len(name) == 1 {
					dashes = "-"
				}
				paths := slices.Contains([]string{"config", "c", "spool", "l"}, name)
				c.flags = append(c.flags, flagWord{dashes + name, usage, doc.TakesValue(), paths})
			}
		}
		for _, sub := range cmd.Subcommands {
			c.subs = append(c.subs, sub.Name)
		}
		list = append(append(list, c), completable(path, cmd.Subcommands)...)
	}
	return list
}

// words are what may follow a command.
func (c *completed) words() string {
	words := slices.Clone(c.subs)
	for _, f := range c.flags {
		words = append(words, f.word)
	}
	return strings.Join(words, " ")
}

// top are the commands that follow the program's name.
func top(list []completed) (names []string) {
	for _, c := range list {
		if !strings.Contains(c.path, " ") {
			names = append(names, c.path)
		}
	}
	return names
}

func bashCompletion(w io.Writer, list []completed) {
	fmt.Fprint(w, "# bash completion for spoold\n_spoold() {\n  local cur=${COMP_WORDS[COMP_CWORD]} path= word\n"+
		"  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$path $word\" in\n")
	for _, c := range list {
		above, name := "", c.path
		if at := strings.LastIndexByte(c.path, ' '); at >= 0 {
			above, name = c.path[:at], c.path[at+1:]
		}
		fmt.Fprintf(w, "      %q) path=%q ;;\n", above+" "+name, c.path)
	}
	fmt.Fprintf(w, "    esac\n  done\n  case \"$path\" in\n    \"\") words=%q ;;\n", strings.Join(top(list), " "))
	for _, c := range list {
		fmt.Fprintf(w, "    %q) words=%q ;;\n", c.path, c.words())
	}
	fmt.Fprint(w, "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n  [[ ${#COMPREPLY[@]} -eq 0 && $cur != -* && -n $path ]] && COMPREPLY=($(compgen -f -- \"$cur\"))\n  return 0\n}\n"+
		"complete -o filenames -F _spoold spoold\n")
}

// Not path: in zsh that is PATH.
func zshCompletion(w io.Writer, list []completed) {
	fmt.Fprint(w, "#compdef spoold\n_spoold() {\n  local above= word\n  for word in \"${(@)words[2,CURRENT-1]}\"; do\n    case \"$above $word\" in\n")
	for _, c := range list {
		above, name := "", c.path
		if at := strings.LastIndexByte(c.path, ' '); at >= 0 {
			above, name = c.path[:at], c.path[at+1:]
		}
		fmt.Fprintf(w, "      %q) above=%q ;;\n", above+" "+name, c.path)
	}
	quote := func(s string) string { return "'" + strings.NewReplacer("'", `'\''`, ":", `\:`).Replace(s) + "'" }
	fmt.Fprint(w, "    esac\n  done\n  local -a found\n  case \"$above\" in\n    \"\") found=(")
	for _, c := range list {
		if !strings.Contains(c.path, " ") {
			fmt.Fprintf(w, " %s", quote(c.path)+":"+quote(c.usage))
		}
	}
	fmt.Fprint(w, " ) ;;\n")
	for _, c := range list {
		fmt.Fprintf(w, "    %q) found=(", c.path)
		for _, sub := range c.subs {
			fmt.Fprintf(w, " %s", quote(sub))
		}
		for _, f := range c.flags {
			fmt.Fprintf(w, " %s", quote(f.word)+":"+quote(f.usage))
		}
		fmt.Fprint(w, " ) ;;\n")
	}
	fmt.Fprint(w, "  esac\n  _describe spoold found && return\n  [[ ${words[CURRENT]} != -* && -n $above ]] && _files\n}\n"+
		// As a file in fpath it is the body of the function when that is first called; sourced, it only defines it.
		"if [[ ${funcstack[1]} = _spoold ]]; then _spoold \"$@\"; else compdef _spoold spoold; fi\n")
}

func fishCompletion(w io.Writer, list []completed) {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	fmt.Fprint(w, "# fish completion for spoold\n")
	for _, c := range list {
		above, name := "", c.path
		if at := strings.LastIndexByte(c.path, ' '); at >= 0 {
			above, name = c.path[:at], c.path[at+1:]
		}
		when := "__fish_use_subcommand"
		if above != "" {
			when = "__fish_seen_subcommand_from " + above
		}
		fmt.Fprintf(w, "complete -c spoold -f -n %s -a %s -d %s\n", quote(when), name, quote(c.usage))
		for _, f := range c.flags {
			kind, word := "-l", strings.TrimPrefix(f.word, "--")
			if word == f.word {
				kind, word = "-s", strings.TrimPrefix(f.word, "-")
			}
			need := ""
			if f.value {
				need = " -x"
			}
			if f.files {
				need = " -r -F"
			}
			fmt.Fprintf(w, "complete -c spoold -n %s %s %s -d %s%s\n", quote("__fish_seen_subcommand_from "+name), kind, word, quote(f.usage), need)
		}
	}
}
