// Package shortage says which errors of system calls come from what the host lacks at that moment.
//
// Promise: an error that Is reports says nothing about the file, the directory or the connection that it came from, and the same
// call may succeed later.
package shortage
