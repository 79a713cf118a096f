package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spoold/spoold/integration/proof"
	"github.com/spoold/spoold/integration/sim/plant/find"
)

// table is docs/proof/planted.md.
func table(all []*caught, most uint64) []byte {
	var b bytes.Buffer
	b.WriteString("# Mistakes that were planted, and the seeds it took to find them\n\n" +
		"Written by `make plant`. Each mistake is a patch of a few lines (`integration/sim/plant/mistakes`), compiled into the product\n" +
		"with `go build -overlay`, alone; seeds are tried from 1 on. Without any mistake the same seeds, run the same way, break no law.\n\n" +
		"| mistake | what it does | seeds | what broke |\n|---|---|---:|---|\n")
	for i := range all {
		if c := all[i]; !c.OnFiles() {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.What, cells(&c.broken, most))
		}
	}
	b.WriteString("\n## In spool/bolt\n\n" +
		"Most seeds run on a model of `spool/bolt`, which has none of these mistakes. So they are hunted with every host on `spool/bolt`\n" +
		"itself, on files in memory: once where it is all that a host has, until a law is broken; and once beside its model, where the first\n" +
		"thing that it does otherwise ends the run, mostly before anybody could suffer from it.\n\n" +
		"| mistake | what it does | seeds | what broke | seeds beside the model | what differed |\n|---|---|---:|---|---:|---|\n")
	for i := range all {
		if c := all[i]; c.OnFiles() {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, c.What, cells(&c.broken, most), cells(&c.differs, most))
		}
	}
	return b.Bytes()
}

// longest is how much of a text the table has: a Difference may tell of hundreds of records.
const longest = 300

// cells are two cells of the table.
func cells(f *find.Find, most uint64) string {
	if f.Seed == 0 {
		return "more than " + proof.Thousands(int(most)) + " | nothing"
	}
	text := f.Text
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + " …"
	}
	return proof.Thousands(int(f.Seed)) + " | " + strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}

func save(p *proof.Run, root string, all []*caught, missed int) error {
	p.What = "Mistakes that one could make in spoold, each a patch of a few lines, made one at a time, and the simulated world run until a law is broken. A violation would be a mistake that no seed finds. The table is in [planted.md](planted.md)."
	p.Violations = missed
	p.Count("mistakes planted", len(all))
	p.Count("mistakes caught", len(all)-missed)
	worst := uint64(0)
	for i := range all {
		worst = max(worst, all[i].by().Seed)
	}
	p.Count("seeds until the last of them was caught", int(worst))
	return p.Save(root)
}
