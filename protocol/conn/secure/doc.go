// Package secure makes what a connection needs to be encrypted and authenticated of files, texts and references:
// crypto/tls settings of PEM, PKCS#12 and JKS files, and the SASL mechanisms PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER.
//
// Promise: what changes in a file is in force for the next connection, without a restart; nothing that is
// secret is in an error, nor in anything that is printed; and a certificate that is not trusted, has expired or
// names another host is never accepted.
//
// Secrets may be references, ${env:NAME} and ${file:PATH}: they are followed each time the secret is used.
package secure
