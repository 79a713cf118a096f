import java.util.*;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;

/** Prints name, type and default of every key of Kafka's producer, one a line, apart by tabs. */
public class Keys {
    public static void main(String[] args) {
        for (ConfigDef.ConfigKey key : new TreeMap<>(ProducerConfig.configDef().configKeys()).values()) {
            Object value = key.hasDefault() ? key.defaultValue : null;
            String text = value == null ? "" : ConfigDef.convertToString(value, key.type);
            System.out.println(key.name + "\t" + key.type + "\t" + text);
        }
    }
}
