// Package keytable is a table of configuration keys: one row is the source of a key's name, spellings, type, range, default,
// secrecy and help, and leads to the field that holds its value.
//
// Promise: a value is taken only if it is of the key's type and in its range; what is printed of a value is taken
// again and means the same; a secret is never printed; and the error for an unknown key names the nearest known one.
package keytable
