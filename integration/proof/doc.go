// Package proof keeps what long runs found: one file a run in docs/proof, and the page docs/proof/README.md,
// which is made of all of them.
//
// Promise: a page never says more than the files beside it, and a file is written by the run
// itself, at its end, with the commit that ran, how long, what was injected, how often, and what
// it does not cover. A tree with changes that are not committed is called so.
package proof
