-- Flink 2.2, with flink-sql-connector-kafka and flink-sql-avro-confluent-registry: a table of who is in which
-- segments, from the topic of one purpose. A tombstone is a DELETE of the key, which every view and sink follows.
-- docs/sinks.md says what else it takes; the words in ${...} are yours.

CREATE TABLE segments (
  pseudonym STRING,
  segments ARRAY<STRING NOT NULL> NOT NULL,
  basis STRING NOT NULL,
  expires_at TIMESTAMP(3) NOT NULL, -- UTC
  PRIMARY KEY (pseudonym) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'segments.personalized-offers',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS}',
  'properties.group.id' = 'flink-offers',
  'properties.isolation.level' = 'read_committed',
  'key.format' = 'raw',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL}',
  'value.avro-confluent.schema' = '{"type": "record", "name": "SegmentAssignment", "namespace": "assent.v1", "fields": [
    {"name": "segments", "type": {"type": "array", "items": "string"}},
    {"name": "basis", "type": {"type": "enum", "name": "Basis", "symbols": ["OPT_IN", "GUARDIAN_OPT_IN", "NOT_OPTED_OUT"]}},
    {"name": "expires_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
  ]}',
  'value.fields-include' = 'EXCEPT_KEY'
);

-- Whatever follows keeps expires_at, and asks for it at each use: Flink looks at a row when a record comes, and
-- never again because time has passed.
CREATE TABLE printed (
  pseudonym STRING,
  segments ARRAY<STRING>,
  expires_at TIMESTAMP(3),
  PRIMARY KEY (pseudonym) NOT ENFORCED
) WITH ('connector' = 'print');

INSERT INTO printed SELECT pseudonym, segments, expires_at FROM segments;
