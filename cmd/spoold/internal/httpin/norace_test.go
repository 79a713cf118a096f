//go:build !race

package httpin

// memoryFactor is 1 without the race detector.
const memoryFactor = 1
