import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads all partitions of one segment topic into a copy, and knows when that is current. */
final class Follower {
    private static final Duration POLL = Duration.ofMillis(100);

    /** How often the ends of the partitions are asked for. */
    private static final long LOOK_EVERY_MS = 1_000;

    private final Properties client;
    private final String topic;
    private final Path file;
    private final BinaryMessageDecoder<GenericRecord> decoder;
    private volatile boolean isStopped;
    /** Null: nobody is told how far this is. */
    private Acknowledger acknowledger;
    private long maxLagMs;

    Follower(Properties client, String topic, Path file) throws IOException {
        this.client = client;
        this.topic = topic;
        this.file = file;
        try (InputStream schema = Follower.class.getResourceAsStream("/segment_assignment.avsc")) {
            // For values of an older schema: decoder.addSchema.
            decoder = new BinaryMessageDecoder<>(GenericData.get(), new Schema.Parser().parse(schema));
        }
    }

    void acknowledge(Acknowledger acknowledger) {
        this.acknowledger = acknowledger;
    }

    void stop() {
        isStopped = true;
    }

    void run() throws Exception {
        maxLagMs = deleteRetentionMs() / 2;
        try (Copy copy = new Copy(file); KafkaConsumer<String, byte[]> consumer = consumer()) {
            start(consumer, copy);
            long looked = 0;
            while (!isStopped) {
                read(consumer, copy);
                if (System.currentTimeMillis() - looked >= LOOK_EVERY_MS) {
                    looked = System.currentTimeMillis();
                    copy.dropExpired();
                    look(consumer, copy);
                }
            }
        }
    }

    private KafkaConsumer<String, byte[]> consumer() {
        Properties settings = new Properties();
        settings.putAll(client);
        settings.put("isolation.level", "read_committed"); // R1: an aborted assignment was never decided
        settings.put("auto.offset.reset", "none");         // R5, R12: a jump would leave out tombstones
        settings.put("enable.auto.commit", "false");       // R6: the copy knows where to go on
        return new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer());
    }

    private void start(KafkaConsumer<?, ?> consumer, Copy copy) throws SQLException {
        List<TopicPartition> partitions = new ArrayList<>();
        for (PartitionInfo found : consumer.partitionsFor(topic)) {
            partitions.add(new TopicPartition(topic, found.partition()));
        }
        consumer.assign(partitions);
        for (TopicPartition partition : partitions) {
            long next = copy.start(topic, partition.partition(), maxLagMs).orElse(Copy.BEGINNING);
            if (next == Copy.BEGINNING) {
                beginAnew(consumer, copy, partition);
            } else {
                consumer.seek(partition, next);
            }
        }
    }

    private void read(KafkaConsumer<String, byte[]> consumer, Copy copy) throws SQLException {
        try {
            ConsumerRecords<String, byte[]> records = consumer.poll(POLL);
            if (!records.isEmpty()) {
                copy.transact(() -> apply(records, consumer, copy));
            }
        } catch (OffsetOutOfRangeException error) { // the topic was created anew, or records were removed
            for (TopicPartition partition : error.partitions()) {
                beginAnew(consumer, copy, partition);
            }
        }
    }

    private void apply(ConsumerRecords<String, byte[]> records, KafkaConsumer<?, ?> consumer, Copy copy)
            throws SQLException {
        for (ConsumerRecord<String, byte[]> record : records) {
            GenericRecord assignment = record.value() == null ? null : decode(record);
            if (assignment == null) {
                copy.drop(record.key());
            } else {
                List<String> segments = new ArrayList<>();
                ((List<?>) assignment.get("segments")).forEach(id -> segments.add(id.toString()));
                copy.put(record.partition(), record.key(), segments, (Long) assignment.get("expires_at"));
            }
        }
        for (TopicPartition partition : records.partitions()) {
            copy.reached(partition.partition(), consumer.position(partition));
        }
    }

    /** Null where it can't be read: then it can't be known to be allowed (R7). */
    private GenericRecord decode(ConsumerRecord<String, byte[]> record) {
        try {
            return decoder.decode(record.value());
        } catch (IOException | AvroRuntimeException error) {
            System.err.printf("%s/%d/%d can't be read, its key is dropped: %s%n", topic, record.partition(),
                record.offset(), error.getMessage());
            return null;
        }
    }

    /** A partition that has been read to its end is current; one that was not for too long begins anew. */
    private void look(KafkaConsumer<?, ?> consumer, Copy copy) throws SQLException {
        long askedAt = System.currentTimeMillis();
        Map<TopicPartition, Long> ends;
        try {
            ends = consumer.endOffsets(consumer.assignment());
        } catch (TimeoutException error) {
            return; // out of reach: the copy grows older, and expiry goes on
        }
        for (Map.Entry<TopicPartition, Long> end : ends.entrySet()) {
            int part = end.getKey().partition();
            long position = consumer.position(end.getKey());
            if (acknowledger != null) {
                acknowledger.say(part, position); // all below it is in the copy
            }
            if (position >= end.getValue()) {
                copy.markCurrent(part, askedAt);
            } else if (copy.start(topic, part, maxLagMs).isEmpty()) {
                beginAnew(consumer, copy, end.getKey());
            }
        }
    }

    private void beginAnew(KafkaConsumer<?, ?> consumer, Copy copy, TopicPartition partition) throws SQLException {
        copy.forget(topic, partition.partition());
        consumer.seekToBeginning(List.of(partition));
    }

    /** For how long a tombstone is sure to be there. */
    private long deleteRetentionMs() throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = Admin.create(client)) {
            return Long.parseLong(admin.describeConfigs(List.of(resource)).all().get().get(resource)
                .get("delete.retention.ms").value());
        }
    }
}
