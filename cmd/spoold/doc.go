// Command spoold is the daemon and the command line.
//
// Promise: errors are one line on stderr (what was wrong, where, what to do), exit
// codes are sysexits, nothing is coloured or redrawn unless it goes to a terminal, and what
// --json prints keeps its names.
//
// Assumption: one process has a spool. Two at once on the same directory are refused by its
// lock; status, ls and resolve go through the daemon's socket while it runs.
//
// Main.Run is the whole program, so that tests run it inside themselves: only main ends the
// process. There is one file per command.
package main
