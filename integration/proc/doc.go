// Package proc starts child processes that do not outlive the test that
// started them.
//
// Promise: when this process ends, however it ends, the kernel kills every child
// that Start began. Children are known by their process id and nothing else;
// no process that somebody else started is ever signalled.
package proc
