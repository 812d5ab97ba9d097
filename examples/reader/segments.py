#!/usr/bin/env python3
"""Keep a copy of one segment topic in a SQLite file, following the rules of docs/readers.md.

  segments.py follow TOPIC --copy FILE            keep the copy up to date until interrupted
  segments.py follow TOPIC --copy FILE --once     stop at the current end of the topic
  segments.py show FILE PSEUDONYM                 print the segments to use now as JSON, or the default one
  segments.py check-protocol                      answer `assent reader check`, which starts it

Needs examples/requirements.txt. Kafka: --bootstrap, and --set KEY=VALUE for librdkafka's properties. With
a schema registry: --registry URL, and REGISTRY_USER=NAME:PASSWORD in the environment where it asks for one.
"""

import argparse
import base64
import concurrent.futures
import io
import json
import logging
import os
import pathlib
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

try:
    import fastavro
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
except ImportError as error:
    raise SystemExit(f"segments.py: this Python lacks {error.name}; install what it needs with `python3 -m "
                     f"pip install -r {REPOSITORY / 'examples/requirements.txt'}`") from None

SCHEMAS = REPOSITORY / "schemas"
SECOND = 1_000  # every time is in milliseconds since the epoch
REACHED_WITHIN_SECONDS = 10

# How often the ends of the partitions are asked for, so how often the copy learns that it is current.
LOOK_EVERY_SECONDS = 1.0

HOPELESS = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)

TABLES = """
CREATE TABLE IF NOT EXISTS assignment (
  pseudonym TEXT PRIMARY KEY, part INTEGER NOT NULL, segments TEXT NOT NULL, expires_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS progress (
  part INTEGER PRIMARY KEY, topic TEXT NOT NULL, next_offset INTEGER NOT NULL, current_at INTEGER NOT NULL);
"""


class Decoder:
    """Avro in either framing: C3 01 and the writer's schema as CRC-64-AVRO, or 00 and its id in a schema
    registry, 4 bytes big-endian; then the datum."""

    def __init__(self, reader_schema, *older_schemas, registry=None):
        self.reader = fastavro.parse_schema(json.loads(reader_schema.read_text()))
        self.registry = registry
        self.writers = {}
        for path in (reader_schema, *older_schemas):
            schema = json.loads(path.read_text())
            form = fastavro.schema.to_parsing_canonical_form(schema)
            fingerprint = bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
            self.writers[b"\xc3\x01" + fingerprint] = fastavro.parse_schema(schema)

    def decode(self, value):
        """The record; raises ValueError where it is none of a schema that is known."""
        header = value[:5] if self.registry and value[:1] == b"\0" else value[:10]
        if header not in self.writers and len(header) == 5:
            self.writers[header] = self.registry.schema(int.from_bytes(header[1:], "big"))
        writer = self.writers.get(header)
        if writer is None:
            raise ValueError("unknown schema")
        try:
            return fastavro.schemaless_reader(io.BytesIO(value[len(header):]), writer, self.reader)
        except (EOFError, IndexError, OverflowError, TypeError, UnicodeDecodeError) as error:
            raise ValueError("not decodable") from error


class Registry:
    """Schemas by id, from Confluent's API."""

    def __init__(self, url):
        self.url, self.headers = url.rstrip("/"), {}
        if user := os.environ.get("REGISTRY_USER"):
            self.headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()

    def schema(self, number):
        """None: there is no such id. Out of reach, it is asked again until it answers: what a value says
        can't be told before."""
        request = urllib.request.Request(f"{self.url}/schemas/ids/{number}", headers=self.headers)
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
            except urllib.error.HTTPError as error:
                if error.code == 404 and b'"error_code"' in error.read():
                    return None
                tell(f"{self.url}: {error}; asking again")
            except OSError as error:
                tell(f"{self.url}: {error}; asking again")
            time.sleep(1)


class Acknowledger:
    """Says in `reader-acks` how far the copy is, under the reader's id in the rulebook."""

    def __init__(self, client, reader, topic):
        schema = json.loads((SCHEMAS / "reader_ack.avsc").read_text())
        form = fastavro.schema.to_parsing_canonical_form(schema)
        self.header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
        self.schema, self.reader, self.topic = fastavro.parse_schema(schema), reader, topic
        self.said = {}
        self.producer = Producer(client | {"enable.idempotence": True, "partitioner": "murmur2_random"},
                                 logger=quiet())

    def say(self, topic, positions):
        """After what is below these offsets is in the copy. What is lost on the way is said again with the next look."""
        for part, offset in positions:
            if self.said.get(part) != offset:
                datum = io.BytesIO()
                fastavro.schemaless_writer(datum, self.schema, {"offset": offset, "at": now()})
                self.producer.produce(self.topic, key=f"{self.reader}/{topic}/{part}",
                                      value=self.header + datum.getvalue(), on_delivery=self.delivered)
                self.said[part] = offset
        if self.producer.flush(5):
            self.said.clear()

    def delivered(self, error, _):
        if error is not None:
            self.said.clear()
            tell(f"{self.topic} is not told how far this is: {error.str()}")


class Copy:
    """Assignments, and how far each partition was read: changed in one transaction, so that no crash
    comes between."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(TABLES)

    def segments(self, pseudonym):
        """What may be used now; None: the default segment."""
        row = self.db.execute("SELECT segments FROM assignment WHERE pseudonym = ? AND expires_at > ?",
                              (pseudonym, now())).fetchone()
        return json.loads(row[0]) if row else None

    def apply(self, messages, decoder):
        with self.transaction():
            for message in messages:
                self.apply_one(message, decoder)

    def apply_one(self, message, decoder):
        pseudonym, part = message.key().decode(), message.partition()
        assignment = None
        if message.value() is not None:
            try:
                assignment = decoder.decode(message.value())
            except ValueError as error:  # what can't be read can't be known to be allowed
                tell(f"{message.topic()}/{part}/{message.offset()}: {error}; its key is dropped")
        if assignment is None:
            self.db.execute("DELETE FROM assignment WHERE pseudonym = ?", (pseudonym,))
        else:
            self.db.execute("INSERT OR REPLACE INTO assignment VALUES (?, ?, ?, ?)",
                            (pseudonym, part, json.dumps(assignment["segments"]),
                             milliseconds(assignment["expires_at"])))
        self.db.execute("UPDATE progress SET next_offset = ? WHERE part = ?", (message.offset() + 1, part))

    def drop_expired(self):
        self.db.execute("DELETE FROM assignment WHERE expires_at <= ?", (now(),))

    def start(self, topic, part, max_lag):
        """Where to read on. From the beginning, with nothing kept, where the copy is of another topic or
        was last current so long ago that a tombstone may have been compacted away since."""
        row = self.db.execute("SELECT topic, next_offset, current_at FROM progress WHERE part = ?",
                              (part,)).fetchone()
        if row and row[0] == topic and now() - row[2] <= max_lag:
            return row[1]
        if row:
            tell(f"{topic}/{part} is read again from the beginning: the copy is too old or belongs to another topic")
        return self.forget(topic, part)

    def forget(self, topic, part):
        with self.transaction():
            self.db.execute("DELETE FROM assignment WHERE part = ?", (part,))
            # Current from now on, as far as tombstones go: all that are there now will be read.
            self.db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)",
                            (part, topic, OFFSET_BEGINNING, now()))
        return OFFSET_BEGINNING

    def is_too_old(self, part, max_lag):
        (current_at,) = self.db.execute("SELECT current_at FROM progress WHERE part = ?", (part,)).fetchone()
        return now() - current_at > max_lag

    def positions(self):
        """Next offsets; a partition that nothing was read of has none."""
        return self.db.execute("SELECT part, next_offset FROM progress WHERE next_offset >= 0").fetchall()

    def mark_current(self, part, at, position):
        # The position too: it has passed control records, which are no messages.
        self.db.execute("UPDATE progress SET current_at = ?, next_offset = ? WHERE part = ?",
                        (at, position, part))

    def transaction(self):
        return _Transaction(self.db)


class _Transaction:
    def __init__(self, db):
        self.db = db

    def __enter__(self):
        self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, failed, *_):
        self.db.execute("ROLLBACK" if failed else "COMMIT")


class Follower:
    def __init__(self, arguments):
        client = {"bootstrap.servers": arguments.bootstrap} | dict(arguments.set)
        self.topic, self.copy = arguments.topic, Copy(arguments.copy)
        self.parts = partitions(client, self.topic)
        self.decoder = Decoder(SCHEMAS / "segment_assignment.avsc", *arguments.older_schema,
                               registry=arguments.registry and Registry(arguments.registry))
        self.max_lag = delete_retention(client, self.topic) // 2
        self.consumer = Consumer(client | {
            "isolation.level": "read_committed",  # an aborted assignment was never decided
            # Positions are committed to a group that was named, so that others see how far this is. The copy
            # knows by itself where to go on.
            "group.id": arguments.group or "segments-copy",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",         # a jump would leave out tombstones: see `read`
            "fetch.wait.max.ms": 100,
        }, logger=quiet())
        self.reports = arguments.group is not None
        self.acknowledger = arguments.ack and Acknowledger(client, arguments.ack, arguments.acks_topic)
        self.stopped = threading.Event()
        self.starts = {part: self.copy.start(self.topic, part, self.max_lag) for part in self.parts}
        self.consumer.assign([TopicPartition(self.topic, *start) for start in self.starts.items()])

    def run(self, once):
        looked = 0.0
        while not self.stopped.is_set():
            self.read()
            if time.monotonic() - looked >= (0 if once else LOOK_EVERY_SECONDS):
                looked = time.monotonic()
                self.copy.drop_expired()
                if self.look() and once:
                    return

    def read(self):
        messages = []
        for message in self.consumer.consume(500, 0.1):
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
                self.begin_anew(message.partition(), "the topic was recreated or truncated")
            elif error.fatal() or error.code() in HOPELESS:
                raise KafkaException(error)
            else:
                tell(error.str())  # librdkafka goes on by itself
        if messages:
            self.copy.apply(messages, self.decoder)

    def look(self):
        """Asks for the ends; True where every partition has reached the one it had."""
        are_current = all([self.look_at(part) for part in self.parts])
        if self.reports:
            self.report()
        if self.acknowledger:
            self.acknowledger.say(self.topic, self.copy.positions())
        return are_current

    def report(self):
        """What is applied is committed to the group, after it was applied."""
        places = [TopicPartition(self.topic, part, offset) for part, offset in self.copy.positions()]
        if places:
            try:
                self.consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as error:  # said again with the next look
                tell(f"the group is not told how far this is: {error.args[0].str()}")

    def look_at(self, part):
        partition = TopicPartition(self.topic, part)
        asked_at = now()
        try:
            start, end = self.consumer.get_watermark_offsets(partition, timeout=10)
        except KafkaException:
            return False  # not reachable: the copy grows older, and expiry goes on
        (position,) = self.consumer.position([partition])
        # Until something comes there is no position: the copy began at the end, or there is nothing.
        if position.offset >= end or self.starts[part] == end or start == end:
            self.copy.mark_current(part, asked_at, max(position.offset, end))
            return True
        if self.copy.is_too_old(part, self.max_lag):
            self.begin_anew(part, "it is behind by more than half of delete.retention.ms")
        return False

    def begin_anew(self, part, why):
        tell(f"{self.topic}/{part} is read again from the beginning: {why}")
        self.consumer.incremental_unassign([TopicPartition(self.topic, part)])
        self.starts[part] = self.copy.forget(self.topic, part)
        self.consumer.incremental_assign([TopicPartition(self.topic, part, self.starts[part])])


def quiet():
    """What fails is said once; librdkafka's own log would say it again and again."""
    logger = logging.getLogger("librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def partitions(client, topic):
    """Those of the topic; one message where there is no broker, or no such topic."""
    admin = AdminClient(client, logger=quiet())
    for _ in range(REACHED_WITHIN_SECONDS):
        try:
            found = admin.list_topics(timeout=1).topics.get(topic)
            break
        except KafkaException as error:
            why = error.args[0].str()
    else:
        sys.exit(f"segments.py: no broker answers at {client['bootstrap.servers']} within "
                 f"{REACHED_WITHIN_SECONDS} s ({why}); check that Kafka runs, and --bootstrap")
    if found is None or found.error is not None:
        sys.exit(f"segments.py: topic {topic} does not exist, or this user may not read it; name a topic "
                 "segments.{purpose}, which `assent topics create` creates")
    return sorted(found.partitions)


def delete_retention(client, topic):
    """delete.retention.ms of the topic: how long a tombstone is sure to be there."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient(client, logger=quiet())  # held until the answer is there
    (described,) = admin.describe_configs([resource]).values()
    return int(described.result(30)["delete.retention.ms"].value)


def milliseconds(moment):
    return moment if isinstance(moment, int) else round(moment.timestamp() * SECOND)


def now():
    return time.time_ns() // 1_000_000


def tell(what):
    print(what, file=sys.stderr, flush=True)


def pair(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: expected KEY=VALUE")
    return key, value


def web_address(text):
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text}: expected http://... or https://...")
    return text


def follow(arguments):
    follower = Follower(arguments)
    try:
        follower.run(arguments.once)
    finally:
        follower.consumer.close()


def check_protocol(_):
    """Keeps a copy as the environment says, and answers on stdout what it would use."""
    copy = pathlib.Path(given("COPY")) / "copy.db"
    follower = Follower(argparse.Namespace(
        topic=given("TOPIC"), copy=copy, group=given("GROUP"), bootstrap=given("BOOTSTRAP_SERVERS"),
        set=given_properties(), older_schema=[], registry=None, ack=None))
    threading.Thread(target=answer, args=(copy, follower.stopped), daemon=True).start()
    try:
        follower.run(once=False)
    finally:
        follower.consumer.close()


def answer(copy, stopped):
    """A line `use PSEUDONYM` at a time, until stdin is closed."""
    try:
        copy = Copy(copy)  # SQLite's connections belong to a thread
        for line in sys.stdin:
            segments = copy.segments(line.removeprefix("use ").strip())
            print(f"yes {' '.join(segments)}" if segments else "no", flush=True)
    finally:
        stopped.set()


def given(name):
    value = os.environ.get(f"ASSENT_READER_{name}")
    return value or sys.exit(f"segments.py: ASSENT_READER_{name} is not set; `assent reader check` sets it")


def given_properties():
    """Of librdkafka, name=value a line; only where they are passed on."""
    path = os.environ.get("ASSENT_READER_PROPERTIES")
    return [pair(line) for line in pathlib.Path(path).read_text().splitlines()] if path else []


def show(arguments):
    if not arguments.copy.exists():
        sys.exit(f"{arguments.copy}: the copy does not exist; create it with `segments.py follow`")
    segments = Copy(arguments.copy).segments(arguments.pseudonym) or [arguments.default_segment]
    print(json.dumps({"pseudonym": arguments.pseudonym, "segments": segments}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("follow")
    command.set_defaults(run=follow)
    command.add_argument("topic", metavar="TOPIC")
    command.add_argument("--copy", type=pathlib.Path, required=True, metavar="FILE")
    command.add_argument("--once", action="store_true")
    command.add_argument("--group", metavar="ID", help="commit how far the copy is under this consumer group, as "
                         "`readers` of the rulebook has it")
    command.add_argument("--ack", metavar="READER", help="say in reader-acks how far the copy is, as this reader of "
                         "the rulebook")
    command.add_argument("--acks-topic", default="reader-acks", metavar="TOPIC", help="as Assent's topics.reader_acks")
    command.add_argument("--bootstrap", default="localhost:9092")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                         type=pair)
    command.add_argument("--older-schema", action="append", default=[], type=pathlib.Path, metavar="FILE",
                         help="an older schema that values in the topic were written with")
    command.add_argument("--registry", metavar="URL", type=web_address, help="as Assent's schema_registry.url")
    command = commands.add_parser("show")
    command.set_defaults(run=show)
    command.add_argument("copy", type=pathlib.Path, metavar="FILE")
    command.add_argument("pseudonym", metavar="PSEUDONYM")
    command.add_argument("--default-segment", default="all-visitors", help="default_segment of the rulebook")
    command = commands.add_parser("check-protocol")
    command.set_defaults(run=check_protocol)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:  # how `follow` ends
        sys.exit(0 if arguments.run is follow else 130)
    except KafkaException as error:
        sys.exit(f"segments.py: Kafka: {error.args[0].str()}")
    except (TimeoutError, concurrent.futures.TimeoutError):
        sys.exit("segments.py: Kafka: no answer within 30 s; check that this user may describe the configuration "
                 "of the topic")
    except sqlite3.Error as error:
        copy = getattr(arguments, "copy", "the copy")
        sys.exit(f"segments.py: {copy}: {error}; name a copy that `segments.py follow` made, or a "
                 "new file in an existing directory")
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        sys.exit(f"segments.py: {error}")
    except (ValueError, fastavro.schema.SchemaParseException) as error:
        sys.exit(f"segments.py: a schema can't be used: {error}")


if __name__ == "__main__":
    main()
