// Package oracle holds our record batches against those of another client, franz-go's kgo and kmsg,
// which were written without ours in sight.
//
// Promise: what we write, kgo reads the same; what kgo writes, we read the same; and where one of both
// takes what the other refuses, the reason is one of a list, and harmless.
package oracle
