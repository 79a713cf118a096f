// Package poll waits for conditions, for tests, and keeps their waits short.
//
// Promise: a wait ends as soon as its condition holds, at most a millisecond late, and always ends. It imports nothing of ours:
// tests of any package may use it.
package poll
