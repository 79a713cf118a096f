package spoold

import (
	"encoding/binary"
	"math"
	"time"
)

// Field numbers of OpenTelemetry's MetricsData and what it holds (opentelemetry/proto/metrics/v1/metrics.proto).
const (
	otlpResourceMetrics = 1 // of MetricsData
	otlpResource        = 1 // of ResourceMetrics
	otlpScopeMetrics    = 2
	otlpAttributes      = 1 // of Resource
	otlpKey             = 1 // of KeyValue
	otlpValue           = 2
	otlpString          = 1 // of AnyValue
	otlpScope           = 1 // of ScopeMetrics
	otlpMetrics         = 2
	otlpName            = 1 // of Metric, and of InstrumentationScope
	otlpVersion         = 2 // of InstrumentationScope
	otlpDescription     = 2 // of Metric
	otlpUnit            = 3
	otlpGauge           = 5
	otlpDataPoints      = 1 // of Gauge
	otlpStart           = 2 // of NumberDataPoint
	otlpTime            = 3
	otlpDouble          = 4
)

// encodeMetrics is the protocol buffer of MetricsData, with each metric a gauge.
func encodeMetrics(metrics []Metric, transactionalID string, opened, now time.Time) []byte {
	scope := otlpText(nil, otlpName, modulePath)
	scope = otlpText(scope, otlpVersion, Version())
	all := otlpBytes(nil, otlpScope, scope)
	for i := range metrics {
		m := &metrics[i]
		point := otlpFixed(nil, otlpStart, uint64(opened.UnixNano()))
		point = otlpFixed(point, otlpTime, uint64(now.UnixNano()))
		point = otlpFixed(point, otlpDouble, math.Float64bits(m.Value))
		one := otlpText(nil, otlpName, m.Name)
		one = otlpText(one, otlpDescription, m.Description)
		one = otlpText(one, otlpUnit, m.Unit)
		one = otlpBytes(one, otlpGauge, otlpBytes(nil, otlpDataPoints, point))
		all = otlpBytes(all, otlpMetrics, one)
	}
	var resource []byte
	if transactionalID != "" {
		attribute := otlpText(nil, otlpKey, "transactional_id")
		attribute = otlpBytes(attribute, otlpValue, otlpText(nil, otlpString, transactionalID))
		resource = otlpBytes(nil, otlpAttributes, attribute)
	}
	group := otlpBytes(nil, otlpResource, resource)
	group = otlpBytes(group, otlpScopeMetrics, all)
	return otlpBytes(nil, otlpResourceMetrics, group)
}

// otlpBytes appends a field of bytes, or an embedded message.
func otlpBytes(dst []byte, field uint64, value []byte) []byte {
	dst = binary.AppendUvarint(dst, field<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func otlpText(dst []byte, field uint64, value string) []byte {
	return otlpBytes(dst, field, []byte(value))
}

// otlpFixed appends a fixed64 or double field.
func otlpFixed(dst []byte, field, value uint64) []byte {
	dst = binary.AppendUvarint(dst, field<<3|1)
	return binary.LittleEndian.AppendUint64(dst, value)
}
