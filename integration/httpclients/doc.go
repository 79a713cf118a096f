// Package httpclients runs other people's HTTP clients against the real daemon: a client of Strimzi's bridge, and curl as the documentation of
// Confluent's REST Proxy v2 and v3 has it.
//
// Promise: what the clients sent is read back from the topic by a Kafka client, and is there once and in order.
package httpclients
