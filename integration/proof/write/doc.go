// Command write makes docs/proof/README.md anew of the runs in docs/proof.
//
// Promise: it changes nothing else.
package main
