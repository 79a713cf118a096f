package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/page"
)

func configCommand(w *world) *cli.Command {
	cmd := &cli.Command{
		Name:      "config",
		Usage:     "look at the configuration",
		UsageText: "spoold config print [flags]\n\nExample:\n\n   spoold config print -c spoold.yaml --with-defaults",
		Subcommands: []*cli.Command{{
			Name:      "print",
			Usage:     "print the effective configuration, each key with its source",
			UsageText: "spoold config print [-c FILE] [-b HOST:PORT] [-X KEY=VALUE] [--with-defaults] [--json]\n\nExample: what a file and one flag come to, with every default:\n\n   spoold config print -c spoold.yaml -X linger.ms=20 --with-defaults",
			Flags: []cli.Flag{configFlag(), brokerFlag(), spoolFlag("spool.path"), httpFlag(), adminFlag(), keyFlag(),
				&cli.BoolFlag{Name: "with-defaults", Usage: "also what nobody set"}, jsonFlag()},
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				return printConfig(w, c)
			},
		}},
	}
	cmd.Action = func(c *cli.Context) error {
		if !c.Args().Present() {
			return cli.ShowSubcommandHelp(c)
		}
		return unknownCommand(cmd.Subcommands, "config ", c.Args().First())
	}
	return cmd
}

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE`, YAML or .properties"}
}

func httpFlag() cli.Flag {
	return &cli.StringFlag{Name: "http", Usage: "`ADDR` of the HTTP ingest, or off; http.listen"}
}

func adminFlag() cli.Flag {
	return &cli.StringFlag{Name: "admin", Usage: "`ADDR` of health, metrics and status, or off; admin.listen"}
}

// printConfig prints keys and sources. It does not need a complete configuration, only one
// without faults in it.
func printConfig(w *world, c *cli.Context) error {
	s := newSettings()
	if file := c.String("config"); file != "" {
		if err := s.load(file); err != nil {
			return err
		}
	}
	if err := s.flags(c); err != nil {
		return err
	}
	rows := s.rows(c.Bool("with-defaults"))
	for _, warning := range s.cfg.Warnings() {
		fmt.Fprintf(w.stderr, "spoold: %s\n", warning)
	}
	if c.Bool("json") {
		return json.NewEncoder(w.stdout).Encode(rows)
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t# %s\n", r.Key, r.Value, r.Source)
	}
	return t.Flush()
}

// rows are the keys that are set, or all of them, with their sources. Secrets are hidden.
func (s *settings) rows(withDefaults bool) []page.Setting {
	rows := []page.Setting{}
	for _, k := range spoold.Keys() {
		source, said := s.source[k.Name]
		if !said {
			if !withDefaults {
				continue
			}
			source = "default"
		}
		value, _ := s.cfg.Get(k.Name)
		rows = append(rows, page.Setting{Key: k.Name, Value: value, Source: source})
	}
	return rows
}
