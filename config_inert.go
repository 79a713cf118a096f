package spoold

import (
	"slices"
	"strings"

	"github.com/spoold/spoold/internal/keytable"
)

// inertKeys are keys of other clients that do nothing here: those that mean something to Java or C only, or ask for what is
// always so, and those whose effect is missing. The latter are refused, unless the value changes nothing.
var inertKeys = inert()

// why is a note for several keys, each with the values that change nothing.
type why struct {
	note string
	keys [][]string
}

func inert() []row {
	var rows []row
	for effect, list := range map[keytable.Effect][]why{keytable.Ignored: ignoredKeys, keytable.Refused: refusedKeys} {
		for _, w := range list {
			for _, k := range w.keys {
				s := spec{Name: k[0], Harmless: k[1:], Kind: keytable.Text, Kafka: true, Effect: effect, Note: w.note, Secret: secretName(k[0])}
				rows = append(rows, row{Spec: s})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// secretName: a value that may be a secret is not shown, even where the key does nothing.
func secretName(key string) bool {
	return strings.Contains(key, "passphrase") || strings.Contains(key, ".pem") || strings.HasPrefix(key, "ssl_") || key == "sasl.oauthbearer.config" || key == "sasl.oauthbearer.extensions"
}

// ignoredKeys are taken with a warning.
var ignoredKeys = []why{
	{"spoold takes bytes", [][]string{
		{"key.serializer"}, {"value.serializer"},
	}},
	{"it names Java classes", [][]string{
		{"interceptor.classes"}, {"config.providers"}, {"config.providers."}, {"security.providers"},
	}},
	{"it names Java classes; see /metrics", [][]string{
		{"metric.reporters", "org.apache.kafka.common.metrics.JmxReporter"},
	}},
	{"there is no JMX here", [][]string{
		{"auto.include.jmx.reporter", "true"},
	}},
	{"it is for Java's metrics; see /metrics", [][]string{
		{"metrics.num.samples", "2"}, {"metrics.recording.level", "INFO"}, {"metrics.sample.window.ms", "30000"}, {"metrics."},
	}},
	{"all addresses of a name are tried", [][]string{
		{"client.dns.lookup", "use_all_dns_ips"},
	}},
	{"spoold always goes back to bootstrap.servers", [][]string{
		{"metadata.recovery.strategy", "rebootstrap"},
	}},
	{"ssl.enabled.protocols says which versions of TLS are used", [][]string{
		{"ssl.protocol", "TLSv1.3", "TLSv1.2", "TLS"},
	}},
	{"it is for Java's TLS; spoold uses Go's", [][]string{
		{"ssl.provider"}, {"ssl.secure.random.implementation"}, {"ssl.engine.factory.class"}, {"ssl.keymanager.algorithm", "SunX509"},
		{"ssl.trustmanager.algorithm", "PKIX"},
	}},
	{"it names a Java class; sasl.mechanism alone says how to authenticate", [][]string{
		{"sasl.client.callback.handler.class"},
		{"sasl.login.callback.handler.class", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler", "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler"},
		{"sasl.login.class"},
		{"sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever", "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever"},
		{"sasl.oauthbearer.jwt.validator.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", "org.apache.kafka.common.security.oauthbearer.ClientJwtValidator"},
	}},
	{"Kerberos is not supported", [][]string{
		{"sasl.kerberos.service.name", "kafka"}, {"sasl.kerberos.kinit.cmd", "/usr/bin/kinit"}, {"sasl.kerberos.min.time.before.relogin", "60000"},
		{"sasl.kerberos.ticket.renew.jitter", "0.05"}, {"sasl.kerberos.ticket.renew.window.factor", "0.8"}, {"sasl.kerberos.principal", "kafkaclient"},
		{"sasl.kerberos.keytab"},
	}},
	{"a token is fetched when a connection needs one and 80 % of the former one's life is over", [][]string{
		{"sasl.login.refresh.buffer.seconds", "300"}, {"sasl.login.refresh.min.period.seconds", "60"}, {"sasl.login.refresh.window.factor", "0.8"},
		{"sasl.login.refresh.window.jitter", "0.05"},
	}},
	{"a broker that cannot be reached for want of a token is tried again as any other", [][]string{
		{"sasl.login.retry.backoff.ms", "100"}, {"sasl.login.retry.backoff.max.ms", "10000"},
	}},
	{"brokers look at tokens; spoold passes them on", [][]string{
		{"sasl.oauthbearer.clock.skew.seconds", "30"}, {"sasl.oauthbearer.expected.audience"}, {"sasl.oauthbearer.expected.issuer"},
		{"sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000"}, {"sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100"},
		{"sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000"}, {"sasl.oauthbearer.jwks.endpoint.url"},
		{"sasl.oauthbearer.scope.claim.name", "scope"}, {"sasl.oauthbearer.sub.claim.name", "sub"},
	}},
	{"spoold keeps its backlog on disk, in spool.max.bytes; memory is bounded by buffer.memory", [][]string{
		{"queue.buffering.max.messages"}, {"queue.buffering.max.kbytes"}, {"queue.buffering.backpressure.threshold", "1"},
	}},
	{"batches are bounded in bytes, by batch.size", [][]string{
		{"batch.num.messages", "10000"},
	}},
	{"there is nothing here that it would change", [][]string{
		{"builtin.features"}, {"message.copy.max.bytes"}, {"receive.message.max.bytes"}, {"topic.metadata.refresh.fast.interval.ms"},
		{"topic.metadata.refresh.fast.cnt"}, {"topic.metadata.refresh.sparse"}, {"topic.metadata.propagation.max.ms"}, {"topic.blacklist"},
		{"socket.blocking.max.ms"}, {"socket.keepalive.enable"}, {"socket.nagle.disable", "true"}, {"socket.max.fails", "1"}, {"broker.address.ttl"},
		{"reconnect.backoff.jitter.ms"}, {"enable.random.seed"}, {"internal.termination.signal"}, {"api.version.request", "true"},
		{"api.version.request.timeout.ms"}, {"api.version.fallback.ms"}, {"broker.version.fallback"}, {"client.rack"}, {"delivery.report.only.error"},
		{"produce.offset.report"}, {"sticky.partitioning.linger.ms"},
	}},
	{"log.level says what is logged; see /metrics for numbers", [][]string{
		{"debug"}, {"log_level"}, {"log.queue"}, {"log.thread.name"}, {"log.connection.close"}, {"statistics.interval.ms"}, {"enabled_events"},
	}},
	{"it is set from C only", [][]string{
		{"error_cb"}, {"throttle_cb"}, {"stats_cb"}, {"log_cb"}, {"background_event_cb"}, {"socket_cb"}, {"connect_cb"}, {"closesocket_cb"}, {"open_cb"},
		{"resolve_cb"}, {"opaque"}, {"default_topic_conf"}, {"dr_cb"}, {"dr_msg_cb"}, {"partitioner_cb"}, {"msg_order_cmp"},
		{"oauthbearer_token_refresh_cb"}, {"ssl.certificate.verify_cb"}, {"ssl_engine_callback_data"}, {"ssl_key"}, {"ssl_certificate"}, {"ssl_ca"},
		{"interceptors"}, {"plugin.library.paths"},
	}},
	{"it is for OpenSSL; spoold uses Go's TLS", [][]string{
		{"ssl.curves.list"}, {"ssl.sigalgs.list"}, {"ssl.providers"}, {"ssl.engine.location"}, {"ssl.engine.id", "dynamic"},
		{"ssl.ca.certificate.stores", "Root"},
	}},
	{"the keys that are given say how to get a token", [][]string{
		{"sasl.oauthbearer.method", "default", "oidc"},
	}},
}

// refusedKeys are an error.
var refusedKeys = []why{
	{"two-phase commit is not supported", [][]string{
		{"transaction.two.phase.commit.enable", "false"},
	}},
	{"signed assertions are not supported: have another program fetch tokens into a file, and give ${file:PATH} as sasl.oauthbearer.token", [][]string{
		{"sasl.oauthbearer.assertion.algorithm", "RS256"}, {"sasl.oauthbearer.assertion.claim.aud"},
		{"sasl.oauthbearer.assertion.claim.exp.seconds", "300"}, {"sasl.oauthbearer.assertion.claim.iss"},
		{"sasl.oauthbearer.assertion.claim.jti.include", "false"}, {"sasl.oauthbearer.assertion.claim.nbf.seconds", "60"},
		{"sasl.oauthbearer.assertion.claim.sub"}, {"sasl.oauthbearer.assertion.file"}, {"sasl.oauthbearer.assertion.private.key.file"},
		{"sasl.oauthbearer.assertion.private.key.passphrase"}, {"sasl.oauthbearer.assertion.private.key.pem"},
		{"sasl.oauthbearer.assertion.template.file"}, {"sasl.oauthbearer.assertion.jwt.template.file"},
	}},
	{"brokers' certificates are always looked at: give their authority's with ssl.truststore.location; an empty ssl.endpoint.identification.algorithm leaves out the host's name", [][]string{
		{"enable.ssl.certificate.verification", "true"},
	}},
	{"lists of revoked certificates are not looked at: have the authority issue certificates for days, or take the one that is revoked out of ssl.truststore.location; each is in force without a restart", [][]string{
		{"ssl.crl.location"},
	}},
	{"addresses of both families are tried, as the system sorts them", [][]string{
		{"broker.address.family", "any"},
	}},
	{"give a token without a signature, for tests, by sasl.jaas.config: OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"USER\";", [][]string{
		{"enable.sasl.oauthbearer.unsecure.jwt", "false"}, {"sasl.oauthbearer.config"},
	}},
	{"give extensions by sasl.jaas.config: OAuthBearerLoginModule required clientId=\"…\" clientSecret=\"…\" extension_NAME=\"VALUE\";", [][]string{
		{"sasl.oauthbearer.extensions"},
	}},
	{"client credentials are supported, and tokens from elsewhere (sasl.oauthbearer.token)", [][]string{
		{"sasl.oauthbearer.grant.type", "client_credentials"}, {"sasl.oauthbearer.metadata.authentication.type", "none"},
	}},
	{"records of a partition are sent in their order", [][]string{
		{"queuing.strategy", "fifo"},
	}},
	{"a gap cannot be: a record that is refused for good is put aside as a dead letter", [][]string{
		{"enable.gapless.guarantee", "false"},
	}},
}
