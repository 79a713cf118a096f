package main

import (
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/access"
	"github.com/spoold/spoold/internal/keytable"
)

// daemonConfig is what only the daemon needs, beside the library's configuration.
type daemonConfig struct {
	HTTPListen         string
	HTTPSocketMode     string
	HTTPMaxBodyBytes   int64
	HTTPMaxConnections int64
	HTTPAccess         access.Options
	HTTPOrigins        []string
	AdminListen        string
	AdminAccess        access.Options
	LogLevel           string
	LogFormat          string
	LogFile            string
	LogFileMaxBytes    int64
	LogFileMaxAge      time.Duration
	LogFileBackups     int64
	ShutdownTimeout    time.Duration
	OTLPEndpoint       string
	OTLPProtocol       string
	OTLPHeaders        spoold.Secret
	OTLPCertificate    string
	TracesPerThousand  int64
}

func defaultDaemonConfig() daemonConfig {
	var c daemonConfig
	daemonTable.Default(&c)
	return c
}

type (
	daemonRow = keytable.Row[daemonConfig]
	spec      = keytable.Spec
)

// daemonTable is the daemon's own keys.
var daemonTable = keytable.New([]daemonRow{
	{Spec: spec{Name: "http.listen", Kind: keytable.Text, Default: "127.0.0.1:8082", Help: "Address of the HTTP ingest, or unix:PATH of a socket; empty or off: none."},
		Field: func(c *daemonConfig) any { return &c.HTTPListen }, Rule: func(c *daemonConfig) error { return checkHTTPListen(c.HTTPListen) }},
	{Spec: spec{Name: "http.socket.mode", Kind: keytable.Text, Default: "0600", Help: "Mode of that socket, in octal digits: whom it lets write may send records. 0600: this user and root; 0660: its group, too."},
		Field: func(c *daemonConfig) any { return &c.HTTPSocketMode }, Rule: func(c *daemonConfig) error {
			_, err := fileMode(c.HTTPSocketMode)
			return err
		}},
	{Spec: spec{Name: "http.max.body.bytes", Kind: keytable.Size, Default: "10MiB", Min: 1024, Max: 1 << 30, Help: "Largest body of a request."},
		Field: func(c *daemonConfig) any { return &c.HTTPMaxBodyBytes }},
	{Spec: spec{Name: "http.max.connections", Kind: keytable.Int, Default: "1024", Min: 1, Max: 1 << 20, Help: "Connections at a time; further ones are answered 503 and closed."},
		Field: func(c *daemonConfig) any { return &c.HTTPMaxConnections }},
	{Spec: spec{Name: "admin.listen", Kind: keytable.Text, Default: "127.0.0.1:9095", Help: "Address of /healthz, /readyz, /metrics and /api/status; empty or off: none."},
		Field: func(c *daemonConfig) any { return &c.AdminListen }, Rule: func(c *daemonConfig) error { return checkListen(c.AdminListen) }},
	{Spec: spec{Name: "log.level", Kind: keytable.Choice, Default: "info", Choices: []string{"debug", "info", "warn", "error"}, Help: "Least level that is logged."},
		Field: func(c *daemonConfig) any { return &c.LogLevel }},
	{Spec: spec{Name: "log.format", Kind: keytable.Choice, Default: "auto", Choices: []string{"auto", "text", "json"}, Help: "auto: text on a terminal, else json."},
		Field: func(c *daemonConfig) any { return &c.LogFormat }},
	{Spec: spec{Name: "log.file", Kind: keytable.Text, Help: "File that the log goes to instead of standard error. It is rotated at log.file.max.bytes and log.file.max.age; SIGHUP opens it again, for programs that rotate it from outside."},
		Field: func(c *daemonConfig) any { return &c.LogFile }},
	{Spec: spec{Name: "log.file.max.bytes", Kind: keytable.Size, Default: "64MiB", Min: 1 << 20, Max: 1 << 40, Help: "Size at which log.file is rotated, in whole MiB."},
		Field: func(c *daemonConfig) any { return &c.LogFileMaxBytes }},
	{Spec: spec{Name: "log.file.max.age", Kind: keytable.Duration, Default: "7d", Min: 60_000, Max: 3660 * 86400_000, Help: "Age at which log.file is rotated, counted from when this process began to write to it."},
		Field: func(c *daemonConfig) any { return &c.LogFileMaxAge }},
	{Spec: spec{Name: "log.file.backups", Kind: keytable.Int, Default: "7", Min: 1, Max: 1000, Help: "Rotated files of the log that are kept; older ones are removed."},
		Field: func(c *daemonConfig) any { return &c.LogFileBackups }},
	{Spec: spec{Name: "shutdown.timeout", Kind: keytable.Duration, Default: "20s", Min: 0, Max: 3600_000, Help: "How long a stop waits for answers from the cluster. The rest stays spooled."},
		Field: func(c *daemonConfig) any { return &c.ShutdownTimeout }},
	{Spec: spec{Name: "otel.exporter.otlp.endpoint", Kind: keytable.Text, Help: "URL of an OpenTelemetry receiver of metrics and traces, such as http://localhost:4318. Without it the OTEL_ environment variables say whether and where to."},
		Field: func(c *daemonConfig) any { return &c.OTLPEndpoint }},
	{Spec: spec{Name: "otel.exporter.otlp.protocol", Kind: keytable.Choice, Default: "http/protobuf", Choices: []string{"http/protobuf", "grpc"}, Help: "How the receiver is spoken to, if its endpoint is given here."},
		Field: func(c *daemonConfig) any { return &c.OTLPProtocol }},
	{Spec: spec{Name: "otel.exporter.otlp.headers", Kind: keytable.Text, Secret: true, Help: "name=value of headers for the receiver, separated by commas."},
		Field: func(c *daemonConfig) any { return &c.OTLPHeaders }},
	{Spec: spec{Name: "otel.exporter.otlp.certificate", Kind: keytable.Text, Help: "PEM file of the authorities that the receiver's certificate may be from. Without it: the system's."},
		Field: func(c *daemonConfig) any { return &c.OTLPCertificate }},
	{Spec: spec{Name: "otel.traces.per.thousand", Kind: keytable.Int, Default: "10", Min: 0, Max: 1000, Help: "Of the records that come without a trace, how many of a thousand begin one, where traces are exported; at most 100 a second. OTEL_TRACES_SAMPLER decides instead if it is set."},
		Field: func(c *daemonConfig) any { return &c.TracesPerThousand }},
}, append(accessRows("http", "the HTTP ingest", func(c *daemonConfig) *access.Options { return &c.HTTPAccess }), originRow),
	accessRows("admin", "the admin listener", func(c *daemonConfig) *access.Options { return &c.AdminAccess }))

func checkListen(addr string) error {
	if !listens(addr) {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("must be host:port, or off")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("has no port between 0 and 65535")
	}
	return nil
}
