package httpin

import (
	"strings"
)

// about is what the description says of a route.
type about struct {
	summary string
	types   []string // of the body; nil: there is none
	params  []string // names in the query or the header
	status  []string // of answers, beside those that every request may get
	answer  string   // type of the answer
}

var (
	aboutRecords = about{"Records for a topic: Confluent's v2, Strimzi's bridge, or one record a line", []string{typeJSON, typeBinary, typeText, "application/x-ndjson", "text/plain"},
		[]string{"wait", "async", "lines", "Idempotency-Key", "Content-Encoding"}, []string{"200", "204", "400", "403", "404", "408", "413", "415", "422", "429", "500", "502", "503", "504"}, v2JSON}
	aboutUnits = about{"Records for any topics, one object a line, delivered in one Kafka transaction", []string{"application/x-ndjson", typeBinary},
		[]string{"wait", "async", "Idempotency-Key", "Content-Encoding"}, []string{"200", "204", "400", "403", "404", "408", "409", "413", "415", "422", "429", "500", "503", "504"}, v2JSON}
	aboutStream = about{"Records as JSON objects, one behind the other, each with a report: Confluent's v3", []string{plainJSON},
		[]string{"wait", "Idempotency-Key", "Content-Encoding"}, []string{"200", "400", "403", "404", "408", "413", "415", "422", "429", "500", "503", "504"}, plainJSON}
	aboutBatch = about{"A batch of records, each with an id: Confluent's v3", []string{plainJSON},
		[]string{"wait", "Idempotency-Key", "Content-Encoding"}, []string{"207", "400", "403", "404", "408", "413", "415", "422", "429", "500", "503", "504"}, plainJSON}
)

func aboutLook(summary string) about {
	return about{summary: summary, status: []string{"200", "404"}, answer: plainJSON}
}

func aboutOpen(summary string) about { return about{summary: summary, status: []string{"200", "503"}} }

// paramDocs are the parameters that about names.
var paramDocs = map[string]struct {
	in, text string
	values   []string
}{
	"wait":             {"query", "What the answer waits for. committed needs transactional.id.", []string{"spooled", "acked", "committed"}},
	"async":            {"query", "true: 204 without a body, once the records are spooled.", []string{"true", "false"}},
	"lines":            {"query", "With application/x-ndjson: whether a line is a record's value, or an object with key, value, partition, timestamp and headers.", []string{"values", "records"}},
	"Idempotency-Key":  {"header", "The same key is the same request, whatever became of the first answer: 1 to 255 bytes.", nil},
	"Content-Encoding": {"header", "How the body is compressed.", []string{"identity", "gzip", "zstd", "snappy"}},
}

// statusDocs says what each status means.
var statusDocs = map[string]string{
	"200": "All records are spooled; of a stream, see each report.",
	"204": "All records are spooled.",
	"207": "Those under successes are spooled; those under failures are not.",
	"400": "The request cannot be read; nothing was spooled.",
	"401": "No credentials, or wrong ones.",
	"403": "The user may not send to the topic, or a web page of another origin asked.",
	"404": "There is nothing such.",
	"405": "There is no such method here.",
	"408": "The body did not arrive in time.",
	"409": "Units need Kafka transactions.",
	"413": "The body, a line or a record is too large.",
	"415": "The Content-Type or Content-Encoding is not one of these.",
	"422": "The body is not what the Content-Type says.",
	"429": "The spool is full, too many ask at a time, or the user sent too much: Retry-After says when to ask again.",
	"500": "It is not known whether the records are spooled.",
	"502": "The cluster refused a record for good.",
	"503": "spoold is stopping, or takes no records.",
	"504": "The records are spooled, and the cluster did not answer in time.",
}

type object = map[string]any

// Description is the listener's OpenAPI description.
func Description() any {
	paths := object{}
	for i := range routes {
		rt := &routes[i]
		path, _ := paths[rt.pattern].(object)
		if path == nil {
			path = object{}
			paths[rt.pattern] = path
		}
		path[strings.ToLower(rt.method)] = rt.describe()
	}
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "spoold", "version": "1",
			"description": "The HTTP way into the spool. An answer of 2xx means that records are durable on this host's disk. v3's paths are also there under /kafka."},
		"paths":      paths,
		"security":   []object{{}, {"basic": []string{}}, {"bearer": []string{}}, {"certificate": []string{}}},
		"components": components(),
	}
}

func components() object {
	return object{
		"securitySchemes": object{"basic": object{"type": "http", "scheme": "basic"}, "bearer": object{"type": "http", "scheme": "bearer"}, "certificate": object{"type": "mutualTLS"}},
		"schemas": object{"Error": object{"type": "object", "required": []string{"error_code", "message"}, "properties": object{
			"error_code": object{"type": "integer"}, "message": object{"type": "string"},
			"lines":   object{"type": "integer", "description": "Of a body of lines: so many from its beginning are durable."},
			"records": object{"type": "integer", "description": "Of a body of lines: so many records are durable."},
		}}},
	}
}

func (rt *route) describe() object {
	op := object{"summary": rt.about.summary}
	var params []object
	for rest := rt.pattern; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		var name string
		name, rest, _ = strings.Cut(after, "}")
		params = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, name := range rt.about.params {
		doc := paramDocs[name]
		schema := object{"type": "string"}
		if doc.values != nil {
			schema["enum"] = doc.values
		}
		params = append(params, object{"name": name, "in": doc.in, "description": doc.text, "schema": schema})
	}
	if params != nil {
		op["parameters"] = params
	}
	if rt.about.types != nil {
		content := object{}
		for _, t := range rt.about.types {
			content[t] = object{}
		}
		op["requestBody"] = object{"required": true, "content": content}
	}
	answers := object{}
	status := rt.about.status
	if rt.open {
		op["security"] = []object{{}}
	} else {
		status = append(status[:len(status):len(status)], "401")
	}
	for _, code := range status {
		a := object{"description": statusDocs[code]}
		switch {
		case code < "300" && code != "204" && rt.about.answer != "":
			a["content"] = object{rt.about.answer: object{}}
		case code >= "400":
			a["content"] = object{v2JSON: object{"schema": object{"$ref": "#/components/schemas/Error"}}}
		}
		answers[code] = a
	}
	op["responses"] = answers
	return op
}
