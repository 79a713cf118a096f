// Package soak is the long run: the real daemon on a small disk, HTTP clients that insist, three real brokers
// behind links and proxies that break requests, and all kinds of trouble, for hours, from a seed.
//
// Promise: while it runs, several times a minute the daemon is asked and the kernel is asked about it, each answer is
// written down (samples.csv) and held against the limits of Limits and of what can only grow; the first violation
// ends the run. Now and then all trouble ends: then the backlog must drain in bounded time, and a daemon
// that has nothing to do must write nothing. After some millions of records each topic is read back and
// compared with a ledger that the daemon knows nothing of, and new topics follow. What trouble there was, and when,
// is in trouble.csv; integration/plot draws both.
//
// With -watched the status page is open in Chromium all the time, an OTLP receiver gets metrics and traces, and each sample
// scrapes /metrics: then goroutines have a limit, too, and at the end of an epoch the page must show what was acked, with no
// error in its console.
//
// A test of its own has a daemon with nothing to do, which must write nothing and wake less than twice a second.
//
// The seed decides what happens and in which order. When it happens is up to the machine: a seed repeats the
// same run, but not the same moment.
//
// The run itself is behind the build tag "crash": it needs Java 17, Maven, root (for the disk), with -watched Chromium, and about
// 20 GB under the temporary directory, and fails without.
package soak
