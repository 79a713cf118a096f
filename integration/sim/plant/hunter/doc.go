// Command hunter tries seeds of the simulated world, one after the other, until a law is broken, and writes which seed that was,
// as JSON. integration/sim/plant builds it with a mistake in it, and runs it.
package main
