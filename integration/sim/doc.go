// Package sim is the simulated world as a whole: its tests run seeds.
//
// Promise: a failing seed prints what was broken, the last events, and the one command that repeats it.
package sim
