// Package agenda is simulated time: what is to be done when.
//
// Promise: things are done in the order of their times, and of two at one time in the order in which they were put
// in. Nothing is done but by Step, so that one goroutine and one seed make one history.
package agenda
