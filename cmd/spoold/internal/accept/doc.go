// Package accept keeps a listener open while the host lacks descriptors or memory.
//
// Promise: a shortage never ends a listener. Accept waits and tries again, and the log has a line when that begins and one when
// it is over. Other errors of Accept are given back.
package accept
