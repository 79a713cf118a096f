//go:build race

package httpin

// memoryFactor is how many times more memory the race detector takes for the same work.
const memoryFactor = 3
