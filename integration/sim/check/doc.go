// Package check judges a history by the promises P1–P12 of the product (but P4, which is about transactions).
//
// Promise: it knows nothing of the product, nor of the simulator: it imports neither. It is told what clients
// sent and were answered, what disks held and when, and what the logs hold at the end, and says which law was broken
// and by what, in the fewest words.
//
// Assumption: what it is told is true. Disks and logs are told by the simulated disk and the simulated cluster, never by the
// program under test.
package check
