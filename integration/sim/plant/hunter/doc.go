// Command hunter tries seeds of the simulated world until a law is broken, and writes which seed that was, as JSON.
// integration/sim/plant builds it with a mistake in the product, and runs it.
//
// Promise: seeds are taken in order, and the first one that breaks a law is what it writes; seed 0 if none does.
package main
