// Package support writes the archive that `spoold support-bundle` makes.
//
// Promise: no text goes into it that holds one of the secrets it was given; it is
// readable by its owner alone; it appears under its name whole or not at all, and
// never replaces a file. What cannot be collected is said in it, and
// the rest is collected all the same.
package support
