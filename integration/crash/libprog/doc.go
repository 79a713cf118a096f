// Command libprog is a program that uses the library, for the crash test to kill.
//
// Promise: it prints "CLIENT NEXT" on standard output only after every record of
// that client below NEXT is spooled, and sends the next one only after that. What it
// sends depends on its arguments alone.
//
// Arguments: bootstrap servers, spool directory, topic, seed, size of a value, and
// for each client the first record to send.
package main
