package otel

import "regexp"

// KafkaExpressions say how each of Kafka's producer metrics (spoold.Producer.Metrics) is asked of
// Prometheus. Kafka's are over 30 seconds; a minute is the shortest that a scrape every 15 seconds allows.
var KafkaExpressions = map[string]string{
	"record-send-rate":          "rate(spoold_produce_request_records_sum[1m])",
	"record-retry-rate":         "sum by (job, instance) (rate(spoold_produce_retries_total[1m]))",
	"record-error-rate":         "sum by (job, instance) (rate(spoold_dead_lettered_records_total[1m]))",
	"records-per-request-avg":   "rate(spoold_produce_request_records_sum[1m]) / rate(spoold_produce_request_records_count[1m])",
	"batch-size-avg":            "rate(spoold_produce_wire_bytes_total[1m]) / rate(spoold_batch_records_count[1m])",
	"batch-split-rate":          "rate(spoold_batch_splits_total[1m])",
	"compression-rate-avg":      "rate(spoold_produce_wire_bytes_total[1m]) / rate(spoold_produce_uncompressed_bytes_total[1m])",
	"outgoing-byte-rate":        "rate(spoold_produce_wire_bytes_total[1m])",
	"request-rate":              "sum by (job, instance) (rate(messaging_client_operation_duration_seconds_count[1m]))",
	"request-latency-avg":       `1000 * sum by (job, instance) (rate(messaging_client_operation_duration_seconds_sum{error_type=""}[1m])) / sum by (job, instance) (rate(messaging_client_operation_duration_seconds_count{error_type=""}[1m]))`,
	"request-latency-max":       `1000 * histogram_quantile(0.99, sum by (job, instance, le) (rate(messaging_client_operation_duration_seconds_bucket{error_type=""}[1m])))`,
	"produce-throttle-time-avg": "1000 * rate(spoold_produce_throttle_duration_seconds_sum[1m]) / rate(spoold_produce_throttle_duration_seconds_count[1m])",
	"produce-throttle-time-max": "1000 * histogram_quantile(0.99, rate(spoold_produce_throttle_duration_seconds_bucket[1m]))",
	"requests-in-flight":        "spoold_requests_in_flight",
	"connection-count":          "spoold_broker_connections",
	"metadata-age":              "spoold_metadata_age_seconds",
	"waiting-threads":           "spoold_send_waiting",
	"bufferpool-wait-ratio":     "rate(spoold_send_wait_duration_seconds_total[1m])",
	"bufferpool-wait-time-ns":   "1e9 * increase(spoold_send_wait_duration_seconds_total[1m])",
	"buffer-total-bytes":        "spoold_spool_limit_bytes",
	"buffer-available-bytes":    "spoold_spool_limit_bytes - spoold_spool_used_bytes",
}

// promNames finds the metrics in an expression.
var promNames = regexp.MustCompile(`\b(?:spoold|messaging)_[a-z_]+`)
