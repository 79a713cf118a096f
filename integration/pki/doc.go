// Package pki makes authorities and certificates for tests.
//
// Promise: each authority is a new one, and nothing that it issued is good for anything but the test that made it.
package pki
