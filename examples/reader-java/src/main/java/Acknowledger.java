import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Says in `reader-acks` how far a copy of one topic is, under the reader's id in the rulebook. */
final class Acknowledger {
    private final String topic;
    private final String reader;
    private final String acksTopic;
    private final Schema schema;
    private final BinaryMessageEncoder<GenericRecord> encoder;
    private final KafkaProducer<String, byte[]> producer;
    private final Map<Integer, Long> said = new ConcurrentHashMap<>();

    Acknowledger(Properties client, String topic, String reader, String acksTopic) throws IOException {
        this.topic = topic;
        this.reader = reader;
        this.acksTopic = acksTopic;
        try (InputStream text = Acknowledger.class.getResourceAsStream("/reader_ack.avsc")) {
            schema = new Schema.Parser().parse(text);
        }
        encoder = new BinaryMessageEncoder<>(GenericData.get(), schema);
        producer = new KafkaProducer<>(client, new StringSerializer(), new ByteArraySerializer());
    }

    /** After all below `offset` is in the copy. What is lost on the way is said again with the next look. */
    void say(int part, long offset) {
        if (Long.valueOf(offset).equals(said.put(part, offset))) {
            return;
        }
        GenericRecord ack = new GenericRecordBuilder(schema)
            .set("offset", offset).set("at", System.currentTimeMillis()).build();
        String key = reader + "/" + topic + "/" + part;
        producer.send(new ProducerRecord<>(acksTopic, key, bytes(ack)), (metadata, error) -> {
            if (error != null) {
                said.remove(part);
                System.err.printf("%s is not told how far this is: %s%n", acksTopic, error.getMessage());
            }
        });
    }

    private byte[] bytes(GenericRecord ack) {
        try {
            ByteBuffer encoded = encoder.encode(ack);
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            return bytes;
        } catch (IOException error) {
            throw new IllegalStateException("a record in memory is written without I/O", error);
        }
    }
}
