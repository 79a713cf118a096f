package main

import (
	"flag"

	"github.com/urfave/cli/v2"
)

// The flags that the library adds to every command are global there, and each run writes into them.
func init() {
	cli.HelpFlag = sharedFlag{cli.HelpFlag.(*cli.BoolFlag)}
	cli.VersionFlag = sharedFlag{cli.VersionFlag.(*cli.BoolFlag)}
}

// A sharedFlag may be parsed by several runs at the same time: each run parses a copy.
type sharedFlag struct{ *cli.BoolFlag }

// Apply adds a copy of the flag to set.
func (f sharedFlag) Apply(set *flag.FlagSet) error {
	own := *f.BoolFlag
	return own.Apply(set)
}
