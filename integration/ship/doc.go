// Package ship is what the tests of file shipping are made of: a writer whose logs rotate.
//
// Promise: the writer keeps what it wrote apart from anything spoold knows, and the topic is read back by another
// client. It stands still while it rotates with copytruncate, which would lose lines by itself otherwise.
// Every run prints its seed and the command that repeats it.
//
// The test is behind the build tag "crash": it kills the real program, again and again.
package ship
