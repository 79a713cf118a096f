import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Sends the same records as one batch with every codec, to a topic named after it. The first argument is bootstrap.servers. */
public class Golden {
    static final long TIME = 1700000000000L;

    public static void main(String[] args) throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Properties p = new Properties();
            p.put("bootstrap.servers", args[0]);
            p.put("compression.type", codec);
            p.put("linger.ms", "60000");
            p.put("batch.size", "1000000");
            try (var producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
                byte[] empty = {};
                send(producer, codec, 0, "key".getBytes(), "value".getBytes());
                send(producer, codec, 1, null, "no key".getBytes());
                send(producer, codec, 1, empty, "empty key".getBytes());
                send(producer, codec, -5, "null value".getBytes(), null);
                send(producer, codec, 70, "empty value".getBytes(), empty);
                send(producer, codec, 70, null, null);
                send(producer, codec, 9000, empty, empty, new RecordHeader("trace", "abc".getBytes()),
                    new RecordHeader("null", (byte[]) null), new RecordHeader("", empty), new RecordHeader("trace", "again".getBytes()));
                send(producer, codec, 9001, "long".getBytes(), "0123456789".repeat(30).getBytes(), new RecordHeader("\u00e4", "\u00f6".getBytes("UTF-8")));
                producer.flush();
            }
        }
    }

    static void send(KafkaProducer<byte[], byte[]> producer, String topic, long after, byte[] key, byte[] value, Header... headers) {
        producer.send(new ProducerRecord<>(topic, 0, TIME + after, key, value, List.of(headers)));
    }
}
