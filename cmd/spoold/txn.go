package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

func txnCommand(w *world) *cli.Command {
	common := func() []cli.Flag { return []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag()} }
	sub := func(name, usage, example string, flags []cli.Flag, op func(*cli.Context) (spoold.TransactionOperation, error)) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, UsageText: "spoold txn " + name + " [flags]\n\nExample:\n\n   " + example,
			Flags: append(common(), flags...),
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				chosen, err := op(c)
				if err != nil {
					return err
				}
				return txn(w, c, chosen)
			},
		}
	}
	say := func(op spoold.TransactionOperation) func(*cli.Context) (spoold.TransactionOperation, error) {
		return func(*cli.Context) (spoold.TransactionOperation, error) { return op, nil }
	}
	return &cli.Command{
		Name:  "txn",
		Usage: "the transactional id: look at it, and say what only an operator can",
		UsageText: "spoold txn describe|abort|resolve|take-over [--spool DIR | -c FILE]\n\n" +
			"Example: a transaction is parked; look at its topics, then say what became of it:\n\n" +
			"   spoold txn describe\n   spoold txn resolve --committed",
		Description: "It works with the daemon running or not. Each decision is recorded in the spool.",
		Subcommands: []*cli.Command{
			sub("describe", "show coordinator, producer id and epoch, the open transaction, and why nothing goes on", "spoold txn describe --json", nil, say("")),
			sub("abort", "abort the open transaction; its records are sent again", "spoold txn abort", nil, say(spoold.AbortTransaction)),
			sub("resolve", "say what became of a parked transaction", "spoold txn resolve --committed", []cli.Flag{
				&cli.BoolFlag{Name: "committed", Usage: "its records are on the cluster: count them so; risk: if they are not, they are lost"},
				&cli.BoolFlag{Name: "aborted", Usage: "they are not: send them again; risk: if they are, they are there twice"},
			}, func(c *cli.Context) (spoold.TransactionOperation, error) {
				switch {
				case c.Bool("committed") && !c.Bool("aborted"):
					return spoold.TransactionWasCommitted, nil
				case c.Bool("aborted") && !c.Bool("committed"):
					return spoold.TransactionWasAborted, nil
				}
				return "", usagef("txn resolve: choose --committed or --aborted; spoold txn describe shows what is known")
			}),
			sub("take-over", "take the id back from another producer, which is fenced then", "spoold txn take-over", nil, say(spoold.TakeOverTransaction)),
		},
	}
}

// txn looks, or carries out an operator's decision.
func txn(w *world, c *cli.Context, op spoold.TransactionOperation) error {
	dir, err := spoolDir(w, c)
	if err != nil {
		return err
	}
	s, pid, err := look(c, dir)
	if err != nil {
		return err
	}
	if s.Transaction == nil {
		return exitf(exitUsage, "the spool %s has no transactional id", dir)
	}
	if op == "" {
		return describeTxn(w, c.Bool("json"), s.Transaction)
	}
	if err := operate(c.Context, dir, pid != 0, s.Transaction.ID, op); err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(w.stdout).Encode(map[string]string{"transactional_id": s.Transaction.ID, "word": string(op)})
	}
	_, err = fmt.Fprintf(w.stdout, "%s: %s; recorded in the spool\n", s.Transaction.ID, op)
	return err
}

func describeTxn(w *world, asJSON bool, t *spoold.TransactionStatus) error {
	if asJSON {
		return json.NewEncoder(w.stdout).Encode(t)
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w.stdout, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("transactional", "%s", t.ID)
	line("state", "%s", t.State)
	switch {
	case t.Version == 0:
	case t.Finalized < t.Version:
		line("version", "%d, as the cluster has transaction.version %d", t.Version, t.Finalized)
	default:
		line("version", "transaction.version %d", t.Version)
	}
	if t.Coordinator >= 0 {
		line("coordinator", "broker %d", t.Coordinator)
	}
	if t.Producer != "" {
		line("producer", "%s", t.Producer)
	}
	line("ordinal", "%d", t.Ordinal)
	if t.Open {
		line("open", "%s for %.1f s", plural(t.Records, "record"), t.OpenSeconds)
	}
	if t.InDoubt && t.Parked == 0 {
		line("in doubt", "transaction %d was decided on, its outcome is not known yet", t.Ordinal)
	}
	if t.Unconfirmed > 0 {
		line("unconfirmed", "%s committed, waiting to be seen in all logs", plural(t.Unconfirmed, "transaction"))
	}
	if t.MarkersMissing+t.MarkersWritten > 0 {
		line("markers", "lost by brokers: %d missing now, %d written again since the start", t.MarkersMissing, t.MarkersWritten)
	}
	if t.ParkReason != "" {
		line("parked", "%s: %s", plural(t.Parked, "transaction"), t.ParkReason)
	}
	if t.Fenced != "" {
		line("fenced", "%s", t.Fenced)
	}
	if b := t.Broker; b != nil {
		line("broker says", "%s", brokerSays(b))
	}
	if t.Detail != "" {
		line("detail", "%s", t.Detail)
	}
	return nil
}

// brokerSays is the coordinator's own view.
func brokerSays(b *spoold.BrokerTransaction) string {
	when := fmt.Sprintf("asked %.0f s ago", b.AskedSecondsAgo)
	if b.Error != "" {
		return b.Error + " (" + when + ")"
	}
	s := fmt.Sprintf("%s, producer %s, time-out %d ms", b.State, b.Producer, b.TimeoutMs)
	if b.Started != nil {
		s += fmt.Sprintf(", %s in it, since %s", plural(b.Partitions, "partition"), b.Started.Format(time.RFC3339))
	}
	return s + " (" + when + ")"
}

// operate passes the operation to the daemon, or carries it out on the spool itself, with no broker in reach.
func operate(ctx context.Context, dir string, live bool, id string, op spoold.TransactionOperation) error {
	if live {
		client := admin.NewClient(dir)
		defer client.Close()
		return client.OperateTransaction(ctx, op)
	}
	cfg := spoold.DefaultConfig()
	cfg.SpoolPath, cfg.TransactionalID = dir, id
	cfg.BootstrapServers = []string{"localhost:9092"} // needed, never dialled
	p, err := spoold.Open(cfg, spoold.Env{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the operator is deciding: no broker is dialled")
	}})
	if err != nil {
		return err
	}
	if err = p.OperateTransaction(ctx, op); err != nil {
		err = exitf(exitUsage, "transaction: %w", err)
	}
	return errors.Join(err, p.Close(ctx))
}
