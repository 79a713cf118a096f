package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/spoold/spoold/cmd/spoold/internal/access"
)

func hashTokenCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "hash-token",
		Usage: "make a token, or hash one, for a users file",
		UsageText: "spoold hash-token [--stdin]\n\nExample: a token for a client, and the line for its user in the file of http.users:\n\n" +
			"   spoold hash-token > token.txt",
		Description: "A token of 256 random bits goes to standard output, for the client (Authorization: Bearer TOKEN), and its hash to\n" +
			"standard error, for the users file. The token is kept nowhere.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "stdin", Usage: "hash the token that standard input holds; the hash goes to standard output"}},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			if c.Bool("stdin") {
				token, err := secretFrom(w.stdin)
				if err != nil {
					return err
				}
				return printHash(w.stdout, access.HashToken, token)
			}
			token := access.NewToken()
			if _, err := fmt.Fprintln(w.stdout, token); err != nil {
				return err
			}
			fmt.Fprint(w.stderr, "for the users file: ")
			return printHash(w.stderr, access.HashToken, []byte(token))
		},
	}
}

func hashPasswordCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:        "hash-password",
		Usage:       "hash a password for a users file",
		UsageText:   "spoold hash-password\n\nExample: the line for a user in the file of http.users:\n\n   spoold hash-password",
		Description: "The password is read from the terminal, twice and without showing it, or else from standard input. It never\nstands on the command line, where every user of the host could read it.",
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			password, err := askPassword(w)
			if err != nil {
				return err
			}
			return printHash(w.stdout, access.HashPassword, password)
		},
	}
}

func printHash(out io.Writer, hash func([]byte) (string, error), secret []byte) error {
	text, err := hash(secret)
	if err != nil {
		return usagef("%w", err)
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// askPassword reads a password from the terminal, or else all of standard input.
func askPassword(w *world) ([]byte, error) {
	f, ok := w.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return secretFrom(w.stdin)
	}
	var given [2][]byte
	for i, prompt := range []string{"password: ", "again: "} {
		fmt.Fprint(w.stderr, prompt)
		var err error
		given[i], err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(w.stderr)
		if err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(given[0], given[1]) {
		return nil, usagef("the two passwords differ")
	}
	return given[0], nil
}

// secretFrom reads a secret without its line end.
func secretFrom(in io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, 8<<10))
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return nil, &exitError{exitUsage, errors.New("standard input holds nothing: give the secret there")}
	}
	return text, nil
}
