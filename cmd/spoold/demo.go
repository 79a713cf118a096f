package main

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold/cmd/spoold/internal/demo"
)

func demoCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "show the guarantee: outage, kill -9, restart, drain, read back, count",
		UsageText: "spoold demo [--records N] [--kills N] [--seed N] [--keep] [--bootstrap-server HOST:PORT] [--transactional-id ID] [--json]\n\n" +
			"Example: three kills, two of them with batches on the wire:\n\n   spoold demo --kills 3",
		Description: "Nothing is needed but this program: the broker is embedded, the network is loopback, the daemon is a process of its own\n" +
			"and is really killed. What was sent is kept apart from what spoold counts and is compared with the topic, read back by\n" +
			"another client. With --transactional-id each request is a transaction of two records, delivered in Kafka transactions, and the\n" +
			"reader sees committed ones only. Exits 1 if a record was lost, duplicated or reordered, or a transaction is half visible.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "records", Value: 12000, Usage: "`N` records to send"},
			&cli.IntFlag{Name: "kills", Value: 1, Usage: "`N` times kill -9"},
			&cli.Uint64Flag{Name: "seed", Usage: "`N` that decides when to kill; random unless given"},
			&cli.BoolFlag{Name: "keep", Usage: "leave the directory with spool and log"},
			brokerFlag(),
			&cli.StringFlag{Name: "transactional-id", Usage: "deliver in Kafka transactions under `ID`"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			return runDemo(w, c)
		},
	}
}

func runDemo(w *world, c *cli.Context) error {
	if n := c.Int("records"); n < 3 || n > 10_000_000 {
		return usagef("demo: --records %d: it must be 3 to 10000000", n)
	}
	if n := c.Int("kills"); n < 0 || n > 1000 || n > c.Int("records")/3 {
		return usagef("demo: --kills %d: it must be 0 to 1000, and at most a third of --records", n)
	}
	exe, err := os.Executable()
	if err != nil {
		return exitf(exitBug, "demo: where is this program: %w", err)
	}
	o := demo.Options{Records: c.Int("records"), Kills: c.Int("kills"), Seed: c.Uint64("seed"), Keep: c.Bool("keep"), Exe: exe, Out: w.stdout, TransactionalID: c.String("transactional-id")}
	if !c.IsSet("seed") {
		o.Seed = rand.Uint64N(1_000_000)
	}
	if c.IsSet("bootstrap-server") {
		o.Bootstrap = strings.Split(c.String("bootstrap-server"), ",")
	}
	if c.Bool("json") {
		o.Out = io.Discard
	}
	res, err := demo.Run(c.Context, o)
	var away *demo.UnavailableError
	switch {
	case errors.As(err, &away):
		return &exitError{exitUnavailable, err}
	case err != nil:
		return &exitError{exitProblem, err}
	}
	if c.Bool("json") {
		if err := json.NewEncoder(w.stdout).Encode(res); err != nil {
			return err
		}
	}
	if !res.OK() {
		return &exitError{code: exitProblem}
	}
	return nil
}
