// Command plant shows what the simulated world is worth: it builds it with each mistake of integration/sim/plant/mistakes in the
// product, one after the other, and says how many seeds it takes until a law is broken, and which. Mistakes in spool/bolt are hunted
// on spool/bolt itself.
//
// Promise: it ends with code 1 unless every mistake is caught within so many seeds, and none of them is caught without
// having been made. The table that it writes is what it measured.
//
//	go run ./integration/sim/plant                       # each of them
//	go run ./integration/sim/plant -o docs/proof/planted.md    # and the table
//	go run ./integration/sim/plant -bug no-margin
//	go run ./integration/sim/plant -sample 8 -of $(git rev-parse HEAD)
package main
