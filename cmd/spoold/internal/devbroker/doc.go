// Package devbroker is the embedded development broker of `serve --dev` and `demo`:
// franz-go's kfake on loopback. It is for one developer: it does not replicate, and
// speaks plain text only.
//
// Promise: it speaks the same protocol as Kafka on loopback alone, and what it holds is in one
// directory, so that a daemon that is started again finds the cluster it knew.
package devbroker
