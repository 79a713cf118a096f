// Command fuzz fuzzes every target of the module for a given time each, two at a time with one worker each:
//
//	go run ./integration/fuzz -time 20s
//	go run ./integration/fuzz -time 10m -only 'spool|Resolver'
//
// Promise: every func Fuzz… of the module is found and run, or the command fails; a target that fails is named with
// the file of the input that made it fail and the command that replays it; and with PROOF=1 what was
// run is kept (integration/proof).
//
// Each package is compiled once. What is found interesting goes to Go's cache, as with go test -fuzz, so
// that the next run begins there; what is worth keeping is committed in testdata/fuzz by hand, small.
package main
