package spoold

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spoold/spoold/internal/keytable"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/protocol/conn/secure"
)

// TLSConfig is how connections to brokers are encrypted (security.protocol SSL and SASL_SSL).
type TLSConfig struct {
	TruststoreLocation     string // ssl.truststore.location
	TruststoreType         string
	TruststorePassword     Secret
	TruststoreCertificates string // PEM text, in place of a file

	KeystoreLocation         string // ssl.keystore.location
	KeystoreType             string
	KeystorePassword         Secret
	KeystoreKey              Secret // PEM texts, in place of a file
	KeystoreCertificateChain string
	CertificateLocation      string // PEM files, in place of a keystore
	KeyLocation              string
	KeyPassword              Secret

	EnabledProtocols       []string
	CipherSuites           []string
	EndpointIdentification string // https, or empty for no check of the host's name
}

// SASLConfig is how this client authenticates (security.protocol SASL_PLAINTEXT and SASL_SSL).
type SASLConfig struct {
	Mechanism  string // sasl.mechanism
	JAASConfig Secret // a line for one of Kafka's login modules, in place of the fields below
	Username   string
	Password   Secret

	OAuthToken          Secret // sasl.oauthbearer.token
	OAuthTokenURL       string
	OAuthClientID       string
	OAuthClientSecret   Secret
	OAuthScope          string
	OAuthURLEncode      bool
	OAuthAuthority      string // https.ca.location
	OAuthAuthorityPEM   string // https.ca.pem
	LoginConnectTimeout time.Duration
	LoginReadTimeout    time.Duration
}

var securityKeys = []row{
	{Spec: spec{Name: "security.protocol", Kafka: true, Kind: keytable.Choice, Default: "PLAINTEXT", Choices: securityProtocols,
		Help: "How to talk to brokers: encrypted (SSL), with credentials (SASL), both, or neither."},
		Field: func(c *Config) any { return &c.SecurityProtocol }},
	{Spec: spec{Name: "ssl.truststore.location", Aliases: []string{"ssl.ca.location"}, Kafka: true, Kind: keytable.Text,
		Help: "File of the authorities' certificates that brokers' certificates must come from: PEM, PKCS#12 or JKS, by its content; or a folder of PEM files. Not given: the system's."},
		Field: func(c *Config) any { return &c.TLS.TruststoreLocation }},
	{Spec: spec{Name: "ssl.truststore.password", Kafka: true, Kind: keytable.Text, Secret: true, Help: "Password of that file, if it is PKCS#12 or JKS. Without one a JKS file is read, and not checked."},
		Field: func(c *Config) any { return &c.TLS.TruststorePassword }},
	{Spec: spec{Name: "ssl.truststore.type", Kafka: true, Kind: keytable.Choice, Default: "JKS", Choices: storeTypes, Help: "Type of that file. Its content decides; only a PEM that is none is an error."},
		Field: func(c *Config) any { return &c.TLS.TruststoreType }},
	{Spec: spec{Name: "ssl.truststore.certificates", Aliases: []string{"ssl.ca.pem"}, Kafka: true, Kind: keytable.Text, References: true, Help: "Those certificates as PEM text, in place of a file."},
		Field: func(c *Config) any { return &c.TLS.TruststoreCertificates }},
	{Spec: spec{Name: "ssl.keystore.location", Kafka: true, Kind: keytable.Text, Help: "File of this client's private key and certificate: PEM, PKCS#12 or JKS, by its content. For brokers that ask for one."},
		Field: func(c *Config) any { return &c.TLS.KeystoreLocation }},
	{Spec: spec{Name: "ssl.keystore.password", Kafka: true, Kind: keytable.Text, Secret: true, Help: "Password of that file."},
		Field: func(c *Config) any { return &c.TLS.KeystorePassword }},
	{Spec: spec{Name: "ssl.keystore.type", Kafka: true, Kind: keytable.Choice, Default: "JKS", Choices: storeTypes, Help: "Type of that file. Its content decides; only a PEM that is none is an error."},
		Field: func(c *Config) any { return &c.TLS.KeystoreType }},
	{Spec: spec{Name: "ssl.keystore.key", Aliases: []string{"ssl.key.pem"}, Kafka: true, Kind: keytable.Text, Secret: true, Help: "The private key as PEM text, in place of a file."},
		Field: func(c *Config) any { return &c.TLS.KeystoreKey }},
	{Spec: spec{Name: "ssl.keystore.certificate.chain", Aliases: []string{"ssl.certificate.pem"}, Kafka: true, Kind: keytable.Text, References: true, Help: "The certificate, with those between it and the authority, as PEM text."},
		Field: func(c *Config) any { return &c.TLS.KeystoreCertificateChain }},
	{Spec: spec{Name: "ssl.key.password", Kafka: true, Kind: keytable.Text, Secret: true, Help: "Password of the private key, if it has one of its own."},
		Field: func(c *Config) any { return &c.TLS.KeyPassword }},
	{Spec: spec{Name: "ssl.certificate.location", Kafka: true, Kind: keytable.Text, Help: "PEM file of this client's certificate, beside ssl.key.location and in place of a keystore (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.TLS.CertificateLocation }},
	{Spec: spec{Name: "ssl.key.location", Kafka: true, Kind: keytable.Text, Help: "PEM file of this client's private key (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.TLS.KeyLocation }},
	{Spec: spec{Name: "ssl.enabled.protocols", Kafka: true, Kind: keytable.List, Default: "TLSv1.2,TLSv1.3", Help: "Versions of TLS that may be used."},
		Field: func(c *Config) any { return &c.TLS.EnabledProtocols }, Rule: func(c *Config) error {
			if len(c.TLS.EnabledProtocols) == 0 {
				return errors.New("needs at least one version")
			}
			_, _, err := secure.VersionRange(c.TLS.EnabledProtocols)
			return err
		}},
	{Spec: spec{Name: "ssl.cipher.suites", Kafka: true, Kind: keytable.List, Help: "Cipher suites that may be used up to TLS 1.2, by their IANA names; empty: all that are safe. Those of TLS 1.3 are always on."},
		Field: func(c *Config) any { return &c.TLS.CipherSuites }, Rule: func(c *Config) error {
			_, err := secure.Suites(c.TLS.CipherSuites)
			return err
		}},
	{Spec: spec{Name: "ssl.endpoint.identification.algorithm", Kafka: true, Kind: keytable.Text, Default: "https", Help: "https: a broker's certificate must name the host that was dialled. Empty: it need not."},
		Field: func(c *Config) any { return &c.TLS.EndpointIdentification }, Rule: func(c *Config) error {
			if a := c.TLS.EndpointIdentification; a != "https" && a != "" && a != "none" {
				return errors.New("must be https, or empty (or none)")
			}
			return nil
		}},
	{Spec: spec{Name: "sasl.mechanism", Aliases: []string{"sasl.mechanisms"}, Kafka: true, Kind: keytable.Text, Default: "GSSAPI", Help: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. Kafka's default, GSSAPI, is not supported, so this must be given where security.protocol begins with SASL."},
		Field: func(c *Config) any { return &c.SASL.Mechanism }, Rule: func(c *Config) error { return mechanismRule(c.SASL.Mechanism) }},
	{Spec: spec{Name: "sasl.jaas.config", Kafka: true, Kind: keytable.Text, Secret: true, Help: "A line for Kafka's PlainLoginModule, ScramLoginModule or OAuthBearerLoginModule, in place of sasl.username and the like."},
		Field: func(c *Config) any { return &c.SASL.JAASConfig }},
	{Spec: spec{Name: "sasl.username", Kafka: true, Kind: keytable.Text, References: true, Help: "User, for PLAIN and SCRAM (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.SASL.Username }},
	{Spec: spec{Name: "sasl.password", Kafka: true, Kind: keytable.Text, Secret: true, Help: "Password, for PLAIN and SCRAM (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.SASL.Password }},
	{Spec: spec{Name: "sasl.oauthbearer.token", Kafka: true, Kind: keytable.Text, Secret: true, Help: "Token for OAUTHBEARER, for instance ${file:PATH} of a file that something else keeps fresh (a key of spoold)."},
		Field: func(c *Config) any { return &c.SASL.OAuthToken }},
	{Spec: spec{Name: "sasl.oauthbearer.token.endpoint.url", Kafka: true, Kind: keytable.Text, References: true, Help: "Where to get tokens: https://… (client credentials grant), or file:///… of a file that holds one."},
		Field: func(c *Config) any { return &c.SASL.OAuthTokenURL }, Rule: func(c *Config) error { return tokenURLRule(c.SASL.OAuthTokenURL) }},
	{Spec: spec{Name: "sasl.oauthbearer.client.credentials.client.id", Aliases: []string{"sasl.oauthbearer.client.id"}, Kafka: true, Kind: keytable.Text, References: true, Help: "Client id for the token endpoint."},
		Field: func(c *Config) any { return &c.SASL.OAuthClientID }},
	{Spec: spec{Name: "sasl.oauthbearer.client.credentials.client.secret", Aliases: []string{"sasl.oauthbearer.client.secret"}, Kafka: true, Kind: keytable.Text, Secret: true, Help: "Client secret for the token endpoint."},
		Field: func(c *Config) any { return &c.SASL.OAuthClientSecret }},
	{Spec: spec{Name: "sasl.oauthbearer.scope", Kafka: true, Kind: keytable.Text, Help: "Scope to ask the token endpoint for."},
		Field: func(c *Config) any { return &c.SASL.OAuthScope }},
	{Spec: spec{Name: "sasl.oauthbearer.header.urlencode", Kafka: true, Kind: keytable.Bool, Default: "false", Help: "URL-encode client id and secret in the Authorization header, as RFC 6749 has it."},
		Field: func(c *Config) any { return &c.SASL.OAuthURLEncode }},
	{Spec: spec{Name: "https.ca.location", Kafka: true, Kind: keytable.Text, Help: "File or folder of the authorities' certificates that the token endpoint's certificate must come from. Not given: the system's (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.SASL.OAuthAuthority }},
	{Spec: spec{Name: "https.ca.pem", Kafka: true, Kind: keytable.Text, References: true, Help: "Those certificates as PEM text, in place of a file (a key of librdkafka)."},
		Field: func(c *Config) any { return &c.SASL.OAuthAuthorityPEM }, Rule: func(c *Config) error {
			if c.SASL.OAuthAuthorityPEM != "" && c.SASL.OAuthAuthority != "" {
				return errors.New("https.ca.location is given, too: give one of them")
			}
			return nil
		}},
	{Spec: spec{Name: "sasl.login.connect.timeout.ms", Kafka: true, Kind: keytable.Millis, Min: 1, Max: maxInt32, Help: "How long the connection to the token endpoint may take; added to the next. Not given: 10 s for both."},
		Field: func(c *Config) any { return &c.SASL.LoginConnectTimeout }},
	{Spec: spec{Name: "sasl.login.read.timeout.ms", Kafka: true, Kind: keytable.Millis, Min: 1, Max: maxInt32, Help: "How long the token endpoint's answer may take."},
		Field: func(c *Config) any { return &c.SASL.LoginReadTimeout }},
}

var securityProtocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

var storeTypes = []string{"JKS", "PKCS12", "PEM"}

const ownMechanismHint = "a Go program can bring its own mechanism (Env.SASL)"

func mechanismRule(name string) error {
	switch name {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI":
		return nil // GSSAPI is the default: refused only where it is used
	case "AWS_MSK_IAM":
		return errors.New("is not supported: use SCRAM-SHA-512, which Amazon MSK offers as well; " + ownMechanismHint)
	}
	return errors.New("must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; " + ownMechanismHint)
}

func tokenURLRule(address string) error {
	for _, scheme := range []string{"https://", "http://", "file:///", "${"} {
		if strings.HasPrefix(address, scheme) {
			return nil
		}
	}
	if address == "" {
		return nil
	}
	return errors.New("must begin with https://, http:// or file:///")
}

// checkSecurity is what can be said of the keys together. own: the program brings its mechanism.
func (c *Config) checkSecurity(own bool, fault func(key, what string, args ...any)) {
	t := &c.TLS
	if t.TruststoreLocation != "" && t.TruststoreCertificates != "" {
		fault("ssl.truststore.certificates", "is given beside ssl.truststore.location: give one of them")
	}
	ways := 0
	for _, way := range []bool{t.KeystoreLocation != "", t.KeystoreKey != "" || t.KeystoreCertificateChain != "", t.CertificateLocation != "" || t.KeyLocation != ""} {
		if way {
			ways++
		}
	}
	if ways > 1 {
		fault("ssl.keystore.location", "this client's certificate is given in more than one way: give ssl.keystore.location, or ssl.keystore.key and ssl.keystore.certificate.chain, or ssl.key.location and ssl.certificate.location")
	}
	if (t.KeystoreKey == "") != (t.KeystoreCertificateChain == "") {
		fault("ssl.keystore.key", "needs ssl.keystore.certificate.chain, and the other way round")
	}
	if (t.CertificateLocation == "") != (t.KeyLocation == "") {
		fault("ssl.key.location", "needs ssl.certificate.location, and the other way round")
	}
	if !strings.HasPrefix(c.SecurityProtocol, "SASL") || own {
		return
	}
	if c.SASL.Mechanism == "GSSAPI" {
		fault("sasl.mechanism", "Kerberos is not supported: use SCRAM-SHA-512, OAUTHBEARER or PLAIN if the brokers offer one of them, or client certificates (security.protocol=SSL); %s", ownMechanismHint)
		return
	}
	if _, err := c.sasl(); err != nil {
		key := "sasl.mechanism"
		var at *secure.KeyError
		if errors.As(err, &at) {
			key, err = at.Key, at.Err
		}
		fault(key, "%v", err)
	}
}

// security is what the inner packages need. It reads no file.
func (c *Config) security(own conn.Mechanism) (secure.Settings, error) {
	var s secure.Settings
	if strings.HasSuffix(c.SecurityProtocol, "SSL") {
		t := &c.TLS
		s.TLS = &secure.TLS{
			Truststore:   secure.Store{Type: t.TruststoreType, Location: t.TruststoreLocation, Password: t.TruststorePassword.Reveal()},
			Certificates: t.TruststoreCertificates,
			Keystore:     secure.Store{Type: t.KeystoreType, Location: t.KeystoreLocation, Password: t.KeystorePassword.Reveal()},
			KeyLocation:  t.KeyLocation, CertLoc: t.CertificateLocation, Key: t.KeystoreKey.Reveal(), Chain: t.KeystoreCertificateChain,
			KeyPassword: t.KeyPassword.Reveal(), Versions: t.EnabledProtocols, CipherSuites: t.CipherSuites,
			AnyHost: t.EndpointIdentification != "https",
		}
	}
	if !strings.HasPrefix(c.SecurityProtocol, "SASL") {
		if own != nil {
			return s, &ConfigError{Key: "security.protocol", Value: c.SecurityProtocol, What: "the program brings a SASL mechanism, so this must be SASL_SSL or SASL_PLAINTEXT"}
		}
		return s, nil
	}
	if own != nil {
		s.Own = own
		return s, nil
	}
	var err error
	s.SASL, err = c.sasl()
	return s, err
}

// sasl puts together the keys, or the JAAS line in their place.
func (c *Config) sasl() (*secure.SASL, error) {
	a := &c.SASL
	s := &secure.SASL{
		Mechanism: a.Mechanism, JAAS: a.JAASConfig.Reveal(), Username: a.Username, Password: a.Password.Reveal(),
		Token: secure.OAuth{Token: a.OAuthToken.Reveal(), URL: a.OAuthTokenURL, ClientID: a.OAuthClientID, Secret: a.OAuthClientSecret.Reveal(),
			Scope: a.OAuthScope, URLEncode: a.OAuthURLEncode, Authority: secure.Store{Location: a.OAuthAuthority}, Certificates: a.OAuthAuthorityPEM,
			Timeout: a.LoginConnectTimeout + a.LoginReadTimeout},
	}
	if s.Token.Timeout == 0 {
		s.Token.Timeout = 10 * time.Second
	}
	return s, s.Check()
}

// Mechanism is a SASL mechanism that a program brings (Env.SASL). Its methods are called from several goroutines.
type Mechanism interface {
	// Name is what brokers call it, such as GSSAPI.
	Name() string
	// Authenticate begins an exchange with the broker at host, and returns the first message. It may block until ctx ends. An
	// error is reported as the reason why the cluster is not reached.
	Authenticate(ctx context.Context, host string) (MechanismSession, []byte, error)
}

// MechanismSession is one exchange.
type MechanismSession interface {
	// Challenge takes a broker's answer, and returns the next message, or that the exchange is over.
	Challenge(answer []byte) (done bool, next []byte, err error)
}

// ownMechanism is a program's mechanism as the connection needs it.
type ownMechanism struct{ m Mechanism }

func (o ownMechanism) Name() string { return o.m.Name() }

func (o ownMechanism) Authenticate(ctx context.Context, host string) (conn.Session, []byte, error) {
	s, first, err := o.m.Authenticate(ctx, host)
	return s, first, err
}

// credentialError names the key, as faults of a configuration do.
func credentialError(err error) error {
	var at *secure.KeyError
	if errors.As(err, &at) {
		return &ConfigError{Key: at.Key, What: at.Err.Error()}
	}
	return fmt.Errorf("security: %w", err)
}

// newKeeper checks the configuration, and reads what files it names of certificates and credentials. The error is a *ConfigError.
func newKeeper(cfg *Config, env *Env) (*secure.Keeper, error) {
	if err := cfg.validate(env.SASL != nil); err != nil {
		return nil, err
	}
	s, err := cfg.protection(env.SASL)
	if err != nil {
		return nil, err
	}
	keeper, err := secure.New(s)
	if err != nil {
		return nil, credentialError(err)
	}
	if cfg.SecurityProtocol == "SASL_PLAINTEXT" && s.SASL != nil && !strings.HasPrefix(s.SASL.Mechanism, "SCRAM") {
		env.Logger.Warn("the password or token goes to brokers unencrypted: anybody on the way can read it", "event", "security.unencrypted",
			"security.protocol", cfg.SecurityProtocol, "sasl.mechanism", s.SASL.Mechanism)
	}
	return keeper, nil
}

// CheckFiles reads the certificates and credentials that the configuration names, as Open does: every fault is a *ConfigError. It connects to nobody.
// What Validate finds wrong with these keys it does not look at.
func (c *Config) CheckFiles() error {
	wrong := false
	c.checkSecurity(false, func(string, string, ...any) { wrong = true })
	if wrong {
		return nil
	}
	s, err := c.security(nil)
	if err != nil {
		return credentialError(err)
	}
	var faults []error
	for _, part := range []secure.Settings{{TLS: s.TLS}, {SASL: s.SASL}} {
		if _, err := secure.New(part); err != nil {
			faults = append(faults, credentialError(err))
		}
	}
	return errors.Join(faults...)
}

func (c *Config) protection(own Mechanism) (secure.Settings, error) {
	if own == nil {
		return c.security(nil)
	}
	return c.security(ownMechanism{own})
}
