// Package httpclients runs other people's HTTP clients against the real daemon: a client of Strimzi's bridge, and curl as the documentation of
// Confluent's REST Proxy v2 and v3 has it.
//
// Of v3 there is no client that a package registry has: its requests are made with curl, field by field as the one that is generated from Confluent's
// description (kafkarestv3 in Go) makes them.
//
// Promise: what the clients sent is read back from the topic by a Kafka client, and is there once and in order.
package httpclients
