package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold/cmd/spoold/internal/page"
)

func configCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "config",
		Usage:     "look at the configuration",
		UsageText: "spoold config print|explain [flags]\n\nExample:\n\n   spoold config print -c spoold.yaml --with-defaults",
		Subcommands: []*cli.Command{{
			Name:      "print",
			Usage:     "print the effective configuration, each key with its source",
			UsageText: "spoold config print [-c FILE] [-b HOST:PORT] [-X KEY=VALUE] [--with-defaults] [--json]\n\nExample: what a file and one flag come to, with every default:\n\n   spoold config print -c spoold.yaml -X linger.ms=20 --with-defaults",
			Description: "What is said later wins: the file, then the environment (SPOOLD_LINGER_MS sets linger.ms), then -X, then flags of\n" +
				"their own. Secrets are not shown. All faults that would keep serve from starting are listed on standard error, each\n" +
				"with file and line; the exit code is 78 then.",
			Flags: []cli.Flag{configFlag(), brokerFlag(), spoolFlag("spool.path"), httpFlag(), adminFlag(), keyFlag(),
				&cli.BoolFlag{Name: "with-defaults", Usage: "also what nobody set"}, jsonFlag()},
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				return printConfig(w, c)
			},
		}, explainCommand(w)},
	}
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

// printConfig prints keys and sources, and then says what serve would say of them.
func printConfig(w *world, c *cli.Context) error {
	s, err := readSettings(w, c)
	if err != nil {
		return err
	}
	nothing := len(s.source) == 0 && len(s.faults)+len(s.strays) == 0 && s.file == "" // nothing was asked to be checked
	if s.cfg.SpoolPath == "" {
		if s.cfg.SpoolPath, err = w.serveSpool(); err != nil {
			return err
		}
	}
	rows := s.rows(c.Bool("with-defaults"))
	s.warn(w)
	if err := writeConfig(w.stdout, rows, c.Bool("json")); err != nil {
		return err
	}
	if nothing {
		return nil
	}
	return s.validate()
}

func writeConfig(out io.Writer, rows []page.Setting, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(rows)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		value := r.Value
		if strings.ContainsAny(value, "\n\t") {
			value = fmt.Sprintf("%q", value) // a certificate
		}
		fmt.Fprintf(t, "%s\t%s\t# %s\n", r.Key, value, r.Source)
	}
	return t.Flush()
}

// Credentials that stand in an address: a password in front of the host, and what is behind a telling name in the query.
var (
	passwordInURL = regexp.MustCompile(`(://[^/?#\s:@]*:)[^/?#\s@]*@`)
	secretInQuery = regexp.MustCompile(`(?i)([?&][^=&#\s]*(?:secret|passw|token|key|signature|sig)[^=&#\s]*=)[^&#\s]+`)
)

// withoutCredentials is a value as it may be shown.
func withoutCredentials(value string) string {
	if !strings.Contains(value, "://") {
		return value
	}
	return secretInQuery.ReplaceAllString(passwordInURL.ReplaceAllString(value, "${1}[hidden]@"), "${1}[hidden]")
}

// rows are the keys that are set, or all of them, with their sources. Secrets are hidden.
func (s *settings) rows(withDefaults bool) []page.Setting {
	rows := []page.Setting{}
	for _, key := range s.keys() {
		source, said := s.source[key]
		if !said {
			if !withDefaults {
				continue
			}
			source = "default"
		}
		value, _ := s.get(key)
		rows = append(rows, page.Setting{Key: key, Value: withoutCredentials(value), Source: source})
	}
	for _, sec := range s.sections() {
		for _, k := range shipKeys {
			if value, said := sec.said[k.name]; said {
				rows = append(rows, page.Setting{Key: shipPrefix + sec.name + "." + k.name, Value: value, Source: sec.source[k.name]})
			}
		}
	}
	return rows
}
