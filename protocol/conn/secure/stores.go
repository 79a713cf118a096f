package secure

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // JKS files have it
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// format of a store, by its content: Java's own reader of JKS files takes PKCS#12 as well.
func (s *Store) format(content []byte) (string, error) {
	found := "PKCS12"
	switch {
	case bytes.HasPrefix(content, []byte{0xFE, 0xED, 0xFE, 0xED}):
		found = "JKS"
	case bytes.HasPrefix(content, []byte{0xCE, 0xCE, 0xCE, 0xCE}):
		return "", errors.New("is a JCEKS file, which is not supported: convert it with keytool -importkeystore -deststoretype PKCS12")
	case bytes.Contains(content, []byte("-----BEGIN ")):
		found = "PEM"
	case len(content) == 0:
		return "", errors.New("is empty")
	case content[0] != 0x30: // DER
		return "", errors.New("is neither PEM nor PKCS#12 nor JKS")
	}
	if s.Type == "PEM" && found != "PEM" {
		return "", fmt.Errorf("is a %s file, and not PEM as its type says", found)
	}
	return found, nil
}

// trusted reads certificates to trust. A folder stands for all files in it that end in .pem, .crt or .cer.
func (s *Store) trusted(f *files) ([]*x509.Certificate, error) {
	password, err := f.expand(s.Password)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(s.Location); err == nil && info.IsDir() {
		return trustedFolder(f, s.Location)
	}
	content, err := f.read(s.Location)
	if err != nil {
		return nil, err
	}
	format, err := s.format(content)
	if err != nil {
		return nil, fmt.Errorf("%s %w", s.Location, err)
	}
	var certs []*x509.Certificate
	switch format {
	case "PEM":
		certs, err = pemCertificates(content)
	case "JKS":
		certs, err = jksTrusted(content, password)
	default:
		if certs, err = pkcs12.DecodeTrustStore(content, password); err != nil && !errors.Is(err, pkcs12.ErrIncorrectPassword) {
			// Not Java's kind of trust store, but openssl's, which marks no certificate as trusted.
			var blocks []*pem.Block
			if blocks, err = pkcs12.ToPEM(content, password); err == nil { //nolint:staticcheck // DecodeChain wants a private key, and there is none
				certs, err = blockCertificates(blocks)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", s.Location, format, err)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s (%s) holds no certificate", s.Location, format)
	}
	return certs, nil
}

func trustedFolder(f *files, dir string) ([]*x509.Certificate, error) {
	f.note(dir) // a file that is added to it changes it
	var certs []*x509.Certificate
	for _, pattern := range []string{"*.pem", "*.crt", "*.cer"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			content, err := f.read(name)
			if err != nil {
				return nil, err
			}
			some, err := pemCertificates(content)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			certs = append(certs, some...)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("the folder %s holds no .pem, .crt or .cer file", dir)
	}
	return certs, nil
}

// pair reads a private key and its certificates.
func (s *Store) pair(f *files, keyPassword string) (*tls.Certificate, error) {
	password, err := f.expand(s.Password)
	if err != nil {
		return nil, err
	}
	if keyPassword == "" {
		keyPassword = password
	}
	content, err := f.read(s.Location)
	if err != nil {
		return nil, err
	}
	format, err := s.format(content)
	if err != nil {
		return nil, fmt.Errorf("%s %w", s.Location, err)
	}
	var certs []*x509.Certificate
	var key crypto.PrivateKey
	switch format {
	case "PEM":
		if certs, err = pemCertificates(content); err == nil {
			key, err = pemKey(content, keyPassword)
		}
	case "JKS":
		certs, key, err = jksPair(content, password, keyPassword)
	default:
		var leaf *x509.Certificate
		if key, leaf, certs, err = pkcs12.DecodeChain(content, password); err == nil {
			certs = append([]*x509.Certificate{leaf}, certs...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", s.Location, format, err)
	}
	return assemble(certs, key)
}

func jksLoad(content []byte, password string) (keystore.KeyStore, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	if err := store.Load(bytes.NewReader(content), []byte(password)); err != nil {
		return store, fmt.Errorf("cannot be read: is its password right? (%w)", err)
	}
	return store, nil
}

// unchecked is a JKS file with the check of an empty password in place of its own: without a password Java does not look at the
// check of a file of certificates, which are no secret.
func unchecked(content []byte) []byte {
	body := content[:max(len(content)-sha1.Size, 0)]
	h := sha1.New() //nolint:gosec // it is the format's
	_, _ = h.Write([]byte("Mighty Aphrodite"))
	_, _ = h.Write(body)
	return h.Sum(slices.Clone(body))
}

func jksTrusted(content []byte, password string) ([]*x509.Certificate, error) {
	if password == "" {
		content = unchecked(content)
	}
	store, err := jksLoad(content, password)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, alias := range store.Aliases() {
		if !store.IsTrustedCertificateEntry(alias) {
			continue
		}
		entry, err := store.GetTrustedCertificateEntry(alias)
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(entry.Certificate.Content)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", alias, err)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

func jksPair(content []byte, password, keyPassword string) ([]*x509.Certificate, crypto.PrivateKey, error) {
	store, err := jksLoad(content, password)
	if err != nil {
		return nil, nil, err
	}
	for _, alias := range store.Aliases() {
		if !store.IsPrivateKeyEntry(alias) {
			continue
		}
		entry, err := store.GetPrivateKeyEntry(alias, []byte(keyPassword))
		if err != nil {
			return nil, nil, fmt.Errorf("entry %s cannot be read: is ssl.key.password right? (%w)", alias, err)
		}
		var certs []*x509.Certificate
		for _, c := range entry.CertificateChain {
			cert, err := x509.ParseCertificate(c.Content)
			if err != nil {
				return nil, nil, fmt.Errorf("entry %s: %w", alias, err)
			}
			certs = append(certs, cert)
		}
		key, err := parseKey(entry.PrivateKey)
		return certs, key, err
	}
	return nil, nil, errors.New("holds no private key")
}

// pemCertificates are all certificates of a PEM text, in their order.
func pemCertificates(text []byte) ([]*x509.Certificate, error) {
	text = pemLines(text)
	var blocks []*pem.Block
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	return blockCertificates(blocks)
}

func blockCertificates(blocks []*pem.Block) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
	}
	return certs, nil
}

// pemKey is the first private key of a PEM text.
func pemKey(text []byte, password string) (crypto.PrivateKey, error) {
	text = pemLines(text)
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("there is no private key in it (-----BEGIN PRIVATE KEY-----)")
		}
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("its key is encrypted in OpenSSL's old way, which protects nothing: convert it with openssl pkcs8 -topk8")
			}
			return parseKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			if password == "" {
				return nil, errors.New("its key is encrypted: give ssl.key.password")
			}
			key, err := pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(password))
			if err != nil {
				return nil, errors.New("its key cannot be decrypted: is ssl.key.password right?")
			}
			return key, nil
		}
	}
}

func parseKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("its private key cannot be read: RSA, ECDSA and Ed25519 are, as PKCS#8, PKCS#1 or SEC 1")
}

// assemble puts the certificate of the key first, and checks that there is one.
func assemble(certs []*x509.Certificate, key crypto.PrivateKey) (*tls.Certificate, error) {
	type equal interface{ Equal(crypto.PublicKey) bool }
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("its private key cannot sign")
	}
	switch key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		return nil, fmt.Errorf("private keys of type %T are not supported", key)
	}
	pair := &tls.Certificate{PrivateKey: key}
	for _, cert := range certs {
		own, ok := cert.PublicKey.(equal)
		if pair.Leaf == nil && ok && own.Equal(signer.Public()) {
			pair.Leaf = cert
			pair.Certificate = append([][]byte{cert.Raw}, pair.Certificate...)
			continue
		}
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	if pair.Leaf == nil {
		return nil, errors.New("the private key belongs to none of the certificates")
	}
	return pair, nil
}
