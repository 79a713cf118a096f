package kafka

// TLS is what makes the listener for clients take TLS. Brokers among each other, and this package, use another listener.
// broker is a PEM file with the key and the certificate, authority one with who issued it.
func TLS(broker, authority string) map[string]string {
	return map[string]string{
		"listener.security.protocol.map": "CLIENT:SSL,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"ssl.keystore.type":              "PEM", "ssl.keystore.location": broker,
		"ssl.truststore.type": "PEM", "ssl.truststore.location": authority,
	}
}
