// Package mistakes holds mistakes that somebody could make in spoold, each a patch of a few lines that is compiled in by
// go build -overlay, to see whether the simulated world finds it. The product itself has no switch for any of them.
//
// A patch is a file NAME.patch: what the mistake does, an empty line, then for each file a line "--- PATH" and the lines that
// change, with "-", "+" or, where they only say the place, a blank before each. "@@" begins another place in the same file. White space
// at both ends of a line does not count. The lines of a place must stand in the file exactly once.
//
// Promise: a patch that does not fit the source any more is an error that says which lines are missing; a test of this package
// applies all of them. Who moves code moves the patch along, so that it makes the same mistake as before.
package mistakes
