// Package schemaregistry has a serializer for spoold.TypedProducer that writes Confluent's wire format: a zero byte,
// the schema's id as four bytes, big-endian, for Protobuf the path of the message in its schema, and the
// encoded value. Consumers with a schema registry's deserializers read it.
//
// The id of a subject's schema is asked for once, and kept for as long as the serializer lives: the registry
// must be there for the first record of a topic, and not for the others. While it is away, the first record of a
// topic is refused with a *spoold.SerializationError, and nothing of it is taken; records that were
// spooled need no registry. The format of the values (Avro, Protobuf, JSON Schema) is the program's: Options.Encode.
//
// It is a module of its own, so that spoold itself does not depend on a registry's client.
package schemaregistry
