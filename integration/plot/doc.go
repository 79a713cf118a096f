// Command plot draws what a long run (integration/soak) wrote down: backlog, the spool's disk, memory, descriptors and disk
// writes over time, one below the other, and which trouble was on when.
//
// Promise: every sample counts. Where there are more of them than the picture is wide, the lowest and the highest of each
// column are drawn, so that no peak is lost; where the daemon gave no answer there is a gap, not a line.
//
//	go run . -in ../../.cache/soak -out soak.png   # or .svg
package main
