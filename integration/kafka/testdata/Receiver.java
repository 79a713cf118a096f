import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.telemetry.ClientTelemetry;
import org.apache.kafka.server.telemetry.ClientTelemetryPayload;
import org.apache.kafka.server.telemetry.ClientTelemetryReceiver;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.MetricsData;

/**
 * Takes the metrics that clients push to a broker. It decodes them as OpenTelemetry's own classes do, and adds a line for each to
 * the file "pushes" of the folder that telemetry.dir names: client, whether it is its last push, name, unit, value.
 * While there is a file "silent", it takes a push and does not return.
 */
public class Receiver implements MetricsReporter, ClientTelemetry, ClientTelemetryReceiver {
    private Path dir;

    public void configure(Map<String, ?> configs) { dir = Path.of((String) configs.get("telemetry.dir")); }
    public void init(List<KafkaMetric> metrics) { }
    public void metricChange(KafkaMetric metric) { }
    public void metricRemoval(KafkaMetric metric) { }
    public void close() { }
    public ClientTelemetryReceiver clientReceiver() { return this; }

    public synchronized void exportMetrics(AuthorizableRequestContext context, ClientTelemetryPayload payload) {
        try {
            while (Files.exists(dir.resolve("silent"))) {
                Files.writeString(dir.resolve("taken"), "");
                Thread.sleep(20);
            }
            StringBuilder lines = new StringBuilder();
            for (var resource : MetricsData.parseFrom(payload.data()).getResourceMetricsList())
                for (var scope : resource.getScopeMetricsList())
                    for (var metric : scope.getMetricsList())
                        for (var point : metric.getGauge().getDataPointsList())
                            lines.append(context.clientId() + "\t" + payload.isTerminating() + "\t" + metric.getName() + "\t"
                                + metric.getUnit() + "\t" + point.getAsDouble() + "\n");
            Files.writeString(dir.resolve("pushes"), lines, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }
}
