package otel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

// ExportOptions say where metrics and traces go besides Prometheus. What is not given here is taken from the standard
// OTEL_ environment variables, by OpenTelemetry's own rules. The zero value with none of these set exports nothing.
type ExportOptions struct {
	Version     string // spoold's
	Endpoint    string // URL of an OTLP receiver, such as http://localhost:4318
	Protocol    string // "http/protobuf" (the default) or "grpc"
	Headers     map[string]string
	Certificate string  // PEM file of authorities that the receiver's certificate may be from; "": the system's
	SampleRatio float64 // of the records that come without a trace, how many begin one: 0 to 1. Used unless OTEL_TRACES_SAMPLER is set
	Getenv      func(string) string
}

// Export is what exports.
type Export struct {
	Reader   sdk.Reader               // nil: no metrics; to be given to New
	Traces   *sdktrace.TracerProvider // nil: no traces
	Resource *resource.Resource

	ratio float64
}

// Tracing is what follows records; nil without traces.
func (e *Export) Tracing() *Tracing {
	if e.Traces == nil {
		return nil
	}
	return NewTracing(e.Traces, e.ratio)
}

// NewExport connects to nothing: a receiver that is away costs some memory, and what it did not get in
// time is dropped. Shutdown it at the end.
func NewExport(ctx context.Context, o ExportOptions) (*Export, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	e := &Export{ratio: o.SampleRatio}
	if o.Getenv("OTEL_TRACES_SAMPLER") != "" {
		e.ratio = 1 // the provider has read it
	}
	var err error
	if e.Resource, err = o.resource(ctx); err != nil {
		return nil, err
	}
	if o.exports("METRICS") {
		if e.Reader, err = o.metrics(ctx); err != nil {
			return nil, err
		}
	}
	if o.exports("TRACES") {
		if e.Traces, err = o.traces(ctx, e.Resource); err != nil {
			return nil, errors.Join(err, e.Shutdown(ctx))
		}
	}
	return e, nil
}

// Shutdown sends what is left, until ctx ends.
func (e *Export) Shutdown(ctx context.Context) error {
	if e.Traces == nil {
		return nil // the meter provider shuts its readers down
	}
	return e.Traces.Shutdown(ctx)
}

// exports reports whether a signal is wanted: METRICS or TRACES.
func (o *ExportOptions) exports(signal string) bool {
	if strings.EqualFold(o.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch o.Getenv("OTEL_" + signal + "_EXPORTER") {
	case "none":
		return false
	case "otlp":
		return true
	}
	return o.Endpoint != "" || o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || o.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

func (o *ExportOptions) resource(ctx context.Context) (*resource.Resource, error) {
	r, err := resource.New(ctx, resource.WithHost(), resource.WithTelemetrySDK(), resource.WithAttributes(serviceAttributes(o.Version)...), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

// protocol is the one that a signal goes by.
func (o *ExportOptions) protocol(signal string) (string, error) {
	p := o.Protocol
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p == "" {
			p = o.Getenv(name)
		}
	}
	switch p {
	case "":
		return "http/protobuf", nil
	case "http/protobuf", "grpc":
		return p, nil
	}
	return "", fmt.Errorf("OTLP protocol %q: http/protobuf and grpc are known", p)
}

// url is the endpoint with a signal's path, for HTTP.
func (o *ExportOptions) url(path string) (string, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("OTLP endpoint %q is not a URL such as http://localhost:4318", o.Endpoint)
	}
	return u.JoinPath(path).String(), nil
}

func (o *ExportOptions) tls() (*tls.Config, error) {
	if o.Certificate == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificates for OTLP: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates for OTLP: %s has no PEM certificate", o.Certificate)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func (o *ExportOptions) metrics(ctx context.Context) (sdk.Reader, error) {
	protocol, err := o.protocol("METRICS")
	if err != nil {
		return nil, err
	}
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	var exporter sdk.Exporter
	if protocol == "grpc" {
		options, err := grpcOptions(o, config, otlpmetricgrpc.WithEndpointURL, otlpmetricgrpc.WithHeaders, otlpmetricgrpc.WithTLSCredentials)
		if err != nil {
			return nil, err
		}
		exporter, err = otlpmetricgrpc.New(ctx, options...)
		if err != nil {
			return nil, err
		}
	} else {
		options, err := httpOptions(o, "v1/metrics", config, otlpmetrichttp.WithEndpointURL, otlpmetrichttp.WithHeaders, otlpmetrichttp.WithTLSClientConfig)
		if err != nil {
			return nil, err
		}
		exporter, err = otlpmetrichttp.New(ctx, options...)
		if err != nil {
			return nil, err
		}
	}
	return sdk.NewPeriodicReader(exporter), nil
}

func (o *ExportOptions) traces(ctx context.Context, r *resource.Resource) (*sdktrace.TracerProvider, error) {
	protocol, err := o.protocol("TRACES")
	if err != nil {
		return nil, err
	}
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	var exporter sdktrace.SpanExporter
	if protocol == "grpc" {
		options, err := grpcOptions(o, config, otlptracegrpc.WithEndpointURL, otlptracegrpc.WithHeaders, otlptracegrpc.WithTLSCredentials)
		if err != nil {
			return nil, err
		}
		exporter, err = otlptracegrpc.New(ctx, options...)
		if err != nil {
			return nil, err
		}
	} else {
		options, err := httpOptions(o, "v1/traces", config, otlptracehttp.WithEndpointURL, otlptracehttp.WithHeaders, otlptracehttp.WithTLSClientConfig)
		if err != nil {
			return nil, err
		}
		exporter, err = otlptracehttp.New(ctx, options...)
		if err != nil {
			return nil, err
		}
	}
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(r)), nil
}

// grpcOptions are the same for both signals, in types of their own.
func grpcOptions[O any](o *ExportOptions, config *tls.Config, endpoint func(string) O, headers func(map[string]string) O, creds func(credentials.TransportCredentials) O) ([]O, error) {
	var options []O
	if o.Endpoint != "" {
		if _, err := o.url(""); err != nil {
			return nil, err
		}
		options = append(options, endpoint(o.Endpoint))
	}
	if len(o.Headers) > 0 {
		options = append(options, headers(o.Headers))
	}
	if config != nil {
		options = append(options, creds(credentials.NewTLS(config)))
	}
	return options, nil
}

// httpOptions are the same for both signals, in types of their own.
func httpOptions[O any](o *ExportOptions, path string, config *tls.Config, endpoint func(string) O, headers func(map[string]string) O, client func(*tls.Config) O) ([]O, error) {
	var options []O
	if o.Endpoint != "" {
		u, err := o.url(path)
		if err != nil {
			return nil, err
		}
		options = append(options, endpoint(u))
	}
	if len(o.Headers) > 0 {
		options = append(options, headers(o.Headers))
	}
	if config != nil {
		options = append(options, client(config))
	}
	return options, nil
}
