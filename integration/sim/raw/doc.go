// Package raw is record batches as bytes: read back field by field, and made by hand, lies included.
//
// Promise: a reader and a writer of their own, that share nothing with the product's: two readers that disagree are
// a finding. Read never panics, whatever the bytes; Spec writes what it is told, even what no client would send.
//
// The model of a cluster reads with it, and tests of the model, which put the same batches to real brokers, write with it.
package raw
