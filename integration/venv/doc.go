// Package venv has packages of Python's registry for tests, in a virtual environment that is kept under .cache.
//
// Promise: the interpreter that With gives finds the package, in the version that is asked for; if it cannot be installed, the test
// fails.
package venv
