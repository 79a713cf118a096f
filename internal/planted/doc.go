// Package planted holds mistakes that somebody could make in spoold, each a switch of one line in the product, to see
// whether the simulated world (integration/sim) finds them.
//
// Promise: without the build tag "planted" no mistake can be chosen, and the compiler removes every switch. With it one is
// chosen by name, before anything runs. What is chosen never changes while something runs.
package planted
