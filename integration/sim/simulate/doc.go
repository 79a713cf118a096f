// Command simulate runs seeds of the simulated world (integration/sim), as many as one likes.
//
// Promise: it ends with code 1 if a law was broken, and says which, by which seed and how to do it again; with code 0 if
// as many histories as were asked for broke none. Only histories of at least 200 records, 5 faults and 1 kill are counted;
// shorter ones are run and checked all the same.
//
//	go run ./integration/sim/simulate -seeds 10000            # from seed 1 on
//	go run ./integration/sim/simulate -seeds 10000 -fresh ID  # from where the text ID leads, for example a commit
//	go run ./integration/sim/simulate -seed 42 -trace         # one, with all that happens in it
//	go run ./integration/sim/simulate -plan FILE -trace       # one that was kept
//
// Of the first seed that breaks a law it makes a smaller plan, which it writes to a file: kept in integration/sim/testdata,
// it is run by every test from then on.
package main
