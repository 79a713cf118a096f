// Package access says who may use a listener of the daemon: users with passwords, tokens and client certificates, what each
// of them may do and how much, and the listener's TLS.
//
// Promise: nothing is allowed that a users file, or an authority of client certificates, does not allow. Files are
// looked at again while they are used: a changed one is in force within a second, and one with a fault changes nothing. Secrets
// are compared in constant time, wrong ones are slowed down for each address, and no error, log line or result holds one.
package access
