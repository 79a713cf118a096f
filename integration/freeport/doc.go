// Package freeport finds addresses for programs that a test starts and that cannot say where they listen.
//
// Promise: an address is given to one caller, and no listener or connection gets its port from the system meanwhile. It imports
// nothing of ours: tests of any package may use it.
package freeport
