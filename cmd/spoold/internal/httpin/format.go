package httpin

import "mime"

// format is how keys and values are embedded in a body.
type format uint8

const (
	formatJSON   format = iota + 1 // any JSON: its text is the record's bytes
	formatBinary                   // base64
	formatText                     // a JSON string: its bytes
)

const (
	typeJSON   = "application/vnd.kafka.json.v2+json"
	typeBinary = "application/vnd.kafka.binary.v2+json"
	typeText   = "application/vnd.kafka.text.v2+json"

	// typesV2 are what POST /topics/{topic} takes; POST …/partitions/{partition} too.
	typesV2 = typeJSON + ", " + typeBinary + ", " + typeText + ", or one record a line as application/x-ndjson or text/plain"
)

// formatOf reads a Content-Type. Anything but the three is a fault with 415.
func formatOf(contentType string) (format, *fault) {
	switch contentType {
	case typeJSON:
		return formatJSON, nil
	case typeBinary:
		return formatBinary, nil
	case typeText:
		return formatText, nil
	case "":
		return 0, faultf(415, 415, "Content-Type is missing: send %s", typesV2)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, faultf(415, 415, "Content-Type %q cannot be read: send %s", clip(contentType), typesV2)
	}
	switch media {
	case typeJSON:
		return formatJSON, nil
	case typeBinary:
		return formatBinary, nil
	case typeText:
		return formatText, nil
	case "application/vnd.kafka.avro.v2+json", "application/vnd.kafka.jsonschema.v2+json", "application/vnd.kafka.protobuf.v2+json":
		return 0, faultf(415, 415, "Content-Type %s needs a schema registry, and none is configured: send %s", media, typesV2)
	}
	return 0, faultf(415, 415, "Content-Type %q is not one of ours: send %s", clip(media), typesV2)
}
