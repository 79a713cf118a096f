package kafka

import (
	"fmt"
	"maps"
	"slices"
)

// TLS is what makes the listener for clients take TLS. Brokers among each other, and this package, use another listener.
// broker is a PEM file with the key and the certificate, authority one with who issued it.
func TLS(broker, authority string) map[string]string { return secured("SSL", broker, authority) }

func secured(protocol, broker, authority string) map[string]string {
	return map[string]string{
		"listener.security.protocol.map": "CLIENT:" + protocol + ",BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"ssl.keystore.type":              "PEM", "ssl.keystore.location": broker,
		"ssl.truststore.type": "PEM", "ssl.truststore.location": authority,
	}
}

// SASL has the listener for clients ask for one of these users and passwords, too, by PLAIN or SCRAM. format is for
// Options.FormatArgs.
func SASL(broker, authority string, users map[string]string) (props map[string]string, format []string) {
	props = secured("SASL_SSL", broker, authority)
	plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, user := range slices.Sorted(maps.Keys(users)) {
		plain += fmt.Sprintf(" user_%s=%q", user, users[user])
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			format = append(format, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, users[user]))
		}
	}
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	maps.Copy(props, map[string]string{
		"listener.name.client.sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.client.plain.sasl.jaas.config":         plain + ";",
		"listener.name.client.scram-sha-256.sasl.jaas.config": scram,
		"listener.name.client.scram-sha-512.sasl.jaas.config": scram,
	})
	return props, format
}
