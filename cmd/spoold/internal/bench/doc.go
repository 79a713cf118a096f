// Package bench measures a disk and a cluster with a spool of its own.
//
// Promise: what it makes on the disk is removed when Run returns, and what an
// earlier run left that was killed is removed by the next. It opens no spool but
// its own. Every phase is bounded in time, and what it writes by MaxBytes.
package bench
