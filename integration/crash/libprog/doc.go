// Command libprog is a program that uses the library, for the crash test to kill.
//
// Promise: it prints "CLIENT NEXT" on standard output only after every record of
// that client below NEXT is spooled, and sends the next one only after that. What it
// sends depends on its arguments alone.
//
// Arguments: bootstrap servers, spool directory, topic, seed, size of a value, and
// for each client the first record to send. More configuration, as KEY=VALUE with
// blanks between, may stand in the environment variable LIBPROG_SET. It also prints how
// many batches its start found in doubt ("recovery N"), a line for each batch that was settled otherwise
// than by its own answer ("named 1", "tail 1"), and on standard error what was parked.
package main
