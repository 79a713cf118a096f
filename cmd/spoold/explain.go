package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/internal/keytable"
)

func explainCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say what a key means, which values it takes, and its other spellings",
		UsageText: "spoold config explain KEY… [--json]\n\nA key in any of its spellings, or its environment variable.\n\nExample:\n\n   spoold config explain linger.ms",
		Flags:     []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("config explain: which key?")
			}
			for _, key := range c.Args().Slice() {
				k, err := findKey(key)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					if err := json.NewEncoder(w.stdout).Encode(k.facts()); err != nil {
						return err
					}
					continue
				}
				k.explain(w.stdout)
			}
			return nil
		},
	}
}

// keyDoc is what is said of a key, whichever table it is in.
type keyDoc struct {
	spoold.Key
	daemon bool
}

// keyDocs are all keys: the library's, then the daemon's.
func keyDocs() []keyDoc {
	var docs []keyDoc
	for _, k := range spoold.Keys() {
		docs = append(docs, keyDoc{Key: k})
	}
	for _, s := range daemonTable.Specs() {
		docs = append(docs, keyDoc{spoold.Key{Name: s.Name, Aliases: s.Aliases, Kind: string(s.Kind), Default: s.Default, Min: s.Min, Max: s.Max, Also: s.Also, Range: s.Range(),
			Choices: s.Choices, Help: s.Help, Note: s.Note, Secret: s.Secret, References: s.Secret || s.References, Works: true}, true})
	}
	return docs
}

func findKey(key string) (keyDoc, error) {
	for _, k := range keyDocs() {
		if k.Name == key || slices.Contains(k.Aliases, key) || k.Works && isVariable(key, append([]string{k.Name}, k.Aliases...)) || strings.HasSuffix(k.Name, ".") && strings.HasPrefix(key, k.Name) {
			return k, nil
		}
	}
	if strings.HasPrefix(key, envPrefix) {
		return keyDoc{}, exitf(exitUsage, "config explain %s: %w", key, unknownVariable(key))
	}
	return keyDoc{}, exitf(exitUsage, "config explain %s: %w", key, keytable.Unknown(key, names()))
}

// types are kinds of values in words.
var types = map[string]string{
	"text": "text", "list": "list, separated by commas", "bool": "true or false", "int": "whole number", "size": "bytes, such as 65536, 64KiB or 10MiB",
	"ms": "milliseconds, or a time such as 5s", "duration": "time, such as 30s, 24h or 7d", "choice": "one of ",
}

// values says what may be given.
func (k *keyDoc) values() string {
	text := types[k.Kind] + strings.Join(k.Choices, ", ")
	if k.Range != "" {
		text += "; " + k.Range
	}
	if k.Secret {
		text += "; never printed"
	}
	if k.References {
		text += "; may be ${env:NAME} or ${file:PATH}"
	}
	return text
}

// effect says what becomes of a key that does not work.
func (k *keyDoc) effect() string {
	accepted := "no value but an empty one"
	if len(k.Harmless) > 0 {
		accepted = "only " + strings.Join(k.Harmless, ", ")
	}
	switch {
	case k.Works && k.Note != "":
		return "Setting it gives a warning: " + k.Note + "."
	case k.Works:
		return ""
	case k.Refused:
		return fmt.Sprintf("Refused (%s is accepted): %s.", accepted, k.Note)
	}
	return fmt.Sprintf("Ignored, with a warning: %s.", k.Note)
}

func (k *keyDoc) explain(out io.Writer) {
	fmt.Fprintf(out, "%s\n", k.Name)
	for _, line := range []string{k.Help, k.effect()} {
		if line != "" {
			fmt.Fprintf(out, "   %s\n", line)
		}
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "   %-13s%s\n", name+":", value)
		}
	}
	if k.Works {
		line("values", k.values())
		line("default", k.Default)
	}
	line("spelt also", strings.Join(k.Aliases, ", "))
	if k.Works {
		line("environment", envName(k.Name))
		if k.daemon {
			line("read by", "serve")
		}
	}
}

// keyFacts is a key in JSON.
type keyFacts struct {
	Key         string   `json:"key"`
	Aliases     []string `json:"aliases,omitempty"`
	Works       bool     `json:"works"`
	Refused     bool     `json:"refused,omitempty"`
	Type        string   `json:"type,omitempty"`
	Values      string   `json:"values,omitempty"`
	Default     string   `json:"default,omitempty"`
	Secret      bool     `json:"secret,omitempty"`
	Environment string   `json:"environment,omitempty"`
	Help        string   `json:"help,omitempty"`
	Note        string   `json:"note,omitempty"`
}

func (k *keyDoc) facts() keyFacts {
	f := keyFacts{Key: k.Name, Aliases: k.Aliases, Works: k.Works, Refused: k.Refused, Secret: k.Secret, Help: k.Help, Note: k.Note}
	if k.Works {
		f.Type, f.Values, f.Default, f.Environment = k.Kind, k.values(), k.Default, envName(k.Name)
	}
	return f
}
