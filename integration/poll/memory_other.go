//go:build !linux || race

package poll

// roomy reports that no directory is known to be in memory, or is to be used: under the race detector tests keep to the pace of a disk.
func roomy(string) bool { return false }
