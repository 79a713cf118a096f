package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spoold/spoold/integration/proof"
)

// table is docs/planted.md.
func table(all []caught, most uint64) []byte {
	var b bytes.Buffer
	b.WriteString("# Mistakes that were planted, and the seeds it took to find them\n\n" +
		"Written by `go run -tags planted ./integration/sim/plant -o docs/planted.md`. Each mistake is one switch in the product\n" +
		"(`internal/planted`), made alone; seeds are tried from 1 on. Without any mistake the same seeds break no law.\n\n" +
		"| mistake | what it does | seeds | what broke |\n|---|---|---:|---|\n")
	for i := range all {
		c := &all[i]
		seeds, text := proof.Thousands(int(c.seed)), strings.ReplaceAll(c.text, "|", "\\|")
		if c.seed == 0 {
			seeds, text = "more than "+proof.Thousands(int(most)), "nothing"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.name, c.what, seeds, text)
	}
	return b.Bytes()
}

func save(p *proof.Run, all []caught, missed int) error {
	p.What = "Mistakes that one could make in spoold, each a switch of one line, made one at a time, and the simulated world run until a law is broken. A violation would be a mistake that no seed finds. The table is in [planted.md](planted.md)."
	p.Violations = missed
	p.Count("mistakes planted", len(all))
	p.Count("mistakes caught", len(all)-missed)
	worst := uint64(0)
	for i := range all {
		worst = max(worst, all[i].seed)
	}
	p.Count("seeds until the last of them was caught", int(worst))
	root, err := proof.Root()
	if err != nil {
		return err
	}
	return p.Save(root)
}
