// Command plant shows what the simulated world is worth: it makes each mistake of internal/planted in the product, one
// after the other, and says how many seeds it takes until a law is broken, and which. Mistakes in spool/bolt are hunted on spool/bolt itself.
//
// Promise: it ends with code 1 unless every mistake is caught within so many seeds, and none of them is caught without
// having been made. The table that it writes is what it measured.
//
//	go run -tags planted ./integration/sim/plant            # the table, on the standard output
//	go run -tags planted ./integration/sim/plant -o docs/planted.md
//	go run -tags planted ./integration/sim/plant -bug no-margin
package main
