package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	otelapi "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/otel"
)

// telemetry is what the daemon measures, and where it is exported to.
type telemetry struct {
	metrics *otel.Metrics
	export  *otel.Export
	tracing *otel.Tracing // nil: no traces are exported
}

func newTelemetry(ctx context.Context, w *world, c *daemonConfig, log *slog.Logger) (*telemetry, error) {
	options := otel.ExportOptions{Version: spoold.Version(), SampleRatio: float64(c.TracesPerThousand) / 1000, Getenv: w.env}
	if c.OTLPEndpoint != "" {
		options.Endpoint, options.Protocol, options.Certificate = c.OTLPEndpoint, c.OTLPProtocol, c.OTLPCertificate
	}
	var err error
	if options.Headers, err = otlpHeaders(c.OTLPHeaders); err != nil {
		return nil, exitf(exitConfig, "otel.exporter.otlp.headers: %w", err)
	}
	export, err := otel.NewExport(ctx, options)
	if err != nil {
		return nil, exitf(exitConfig, "%w", err)
	}
	if export.Reader != nil || export.Traces != nil {
		otelapi.SetErrorHandler(otelapi.ErrorHandlerFunc(func(err error) {
			log.Warn("telemetry was not exported", "event", "otlp.failed", "err", err)
		}))
	}
	t := &telemetry{export: export}
	if t.metrics, err = otel.New(spoold.Version(), export); err != nil {
		return nil, err
	}
	t.tracing = export.Tracing()
	return t, nil
}

// otlpHeaders reads name=value pairs, separated by commas. Values may be secrets: errors have none.
func otlpHeaders(secret spoold.Secret) (map[string]string, error) {
	text, err := secret.Follow()
	if err != nil || text == "" {
		return nil, err
	}
	pairs := strings.Split(text, ",")
	headers := make(map[string]string, len(pairs))
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("header %d of %d is not name=value", i+1, len(pairs))
		}
		headers[name] = strings.TrimSpace(value)
	}
	return headers, nil
}

// observe has the producer that is opened with env measured and traced.
func (t *telemetry) observe(env *spoold.Env) {
	env.Hooks = t.metrics.Hooks()
	if t.tracing != nil {
		t.tracing.Measure(t.metrics)
		env.Hooks, env.Tracer = t.tracing.Hooks(env.Hooks), t.tracing
	}
}

// requestContext is how the context of an HTTP request's trace is found; nil without traces.
func (t *telemetry) requestContext() func(*http.Request) context.Context {
	if t.tracing == nil {
		return nil
	}
	return func(r *http.Request) context.Context {
		return propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	}
}

// exportTime bounds the last export: a stop does not wait long for a receiver that is away.
const exportTime = 2 * time.Second

// shutdown exports what is left.
func (t *telemetry) shutdown(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportTime)
	defer cancel()
	if err := errors.Join(t.export.Shutdown(ctx), t.metrics.Shutdown(ctx)); err != nil {
		log.Warn("the last telemetry was not exported", "event", "otlp.failed", "err", fmt.Sprint(err))
	}
}
