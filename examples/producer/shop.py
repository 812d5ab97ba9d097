#!/usr/bin/env python3
"""Write clicks and consent to Kafka, following the rules of docs/producers.md.

  shop.py consent SUBJECT [--decide PURPOSE=STATUS]... [--age-band BAND] [--double-opt-in]
                                              write one complete consent record
  shop.py click SESSION [--subject SUBJECT] [--sec-gpc 0|1] [--kind KIND] [--category C]
                                              write one click
  shop.py erase SUBJECT                       request the erasure of a subject
  shop.py heartbeat SOURCE                    write a heartbeat of a consent source to every partition

Needs examples/requirements.txt. Kafka: --bootstrap, and --set KEY=VALUE for librdkafka's properties.
Prints the partition and offset of each record as JSON lines. Exits with code 1 if a record was not acknowledged;
one line on stderr says why.
"""

import argparse
import io
import json
import logging
import os
import pathlib
import sys
import time
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

try:
    import fastavro
    from confluent_kafka import KafkaException, Producer
except ImportError as error:
    raise SystemExit(f"shop.py: this Python lacks {error.name}; install what it needs with `python3 -m pip "
                     f"install -r {REPOSITORY / 'examples/requirements.txt'}`") from None

SCHEMAS = REPOSITORY / "schemas"
REACHED_WITHIN_SECONDS = 10
ACKNOWLEDGED_WITHIN_SECONDS = 30

# Assent's names of them, and librdkafka's. To a Java client murmur2 is its default.
PARTITIONERS = {"murmur2": "murmur2", "crc32": "consistent"}


class Encoder:
    """Avro single-object encoding: C3 01, the schema as CRC-64-AVRO, the datum."""

    def __init__(self, name):
        schema = json.loads((SCHEMAS / f"{name}.avsc").read_text())
        form = fastavro.schema.to_parsing_canonical_form(schema)
        self.header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
        self.schema = fastavro.parse_schema(schema)

    def encode(self, record):
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, self.schema, record, strict_allow_default=True)
        return self.header + datum.getvalue()


class Shop:
    """Both inputs of Assent. Every record is acknowledged before a call returns."""

    def __init__(self, bootstrap, partitioner, topics, properties=()):
        self.clickstream, self.consent_changelog = topics
        self.click_event, self.consent_record = Encoder("click_event"), Encoder("consent_record")
        self.producer = Producer({"bootstrap.servers": bootstrap} | dict(properties) | {
            "acks": "all",
            "enable.idempotence": True,  # a retry neither repeats a record nor overtakes another
            "partitioner": PARTITIONERS[partitioner],  # in both topics, and as Assent's kafka.partitioner
        }, logger=quiet())
        self.topics = self.reach(bootstrap)

    def reach(self, bootstrap):
        """The topics that the cluster has. Producing asks nothing: it would wait without a word."""
        for _ in range(REACHED_WITHIN_SECONDS):
            try:
                return self.producer.list_topics(timeout=1).topics
            except KafkaException as error:
                why = error.args[0].str()
        sys.exit(f"shop.py: no broker answers at {bootstrap} within {REACHED_WITHIN_SECONDS} s ({why}); "
                 "check that Kafka runs, and --bootstrap")

    def partitions(self, topic):
        found = self.topics.get(topic)
        if found is None or found.error is not None:
            sys.exit(f"shop.py: topic {topic} does not exist, or this user may not write it; create the topics with "
                     "`assent topics create`")
        return found.partitions

    def click(self, event):
        key = event["subject_id"] or event["session_id"]
        self.send(self.clickstream, key, self.click_event.encode(event))

    def consent(self, record):
        self.send(self.consent_changelog, record["subject_id"], self.consent_record.encode(record))

    def erase(self, subject_id):
        self.send(self.consent_changelog, subject_id, None)

    def heartbeat(self, source):
        for partition in self.partitions(self.consent_changelog):
            self.send(self.consent_changelog, f"__assent_heartbeat_{partition}", None,
                      partition=partition, headers={"source": source})

    def send(self, topic, key, value, **where):
        self.partitions(topic)
        receipts = []
        self.producer.produce(topic, key=key.encode(), value=value,
                              on_delivery=lambda *receipt: receipts.append(receipt), **where)
        until = time.monotonic() + ACKNOWLEDGED_WITHIN_SECONDS
        while not receipts and time.monotonic() < until:
            self.producer.poll(0.2)
        error, message = receipts[0] if receipts else ("no acknowledgement in time", None)
        if error:
            self.producer.purge()
            sys.exit(f"shop.py: {topic}: not written: {error}")
        print(json.dumps({"topic": topic, "partition": message.partition(), "offset": message.offset()}))


def quiet():
    """What fails is said once, by `main`; librdkafka's own log would say it again and again."""
    logger = logging.getLogger("librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def click_event(arguments):
    return {
        "event_id": str(uuid.uuid4()),
        "subject_id": arguments.subject,
        "session_id": arguments.session,
        "occurred_at": now(),
        "kind": arguments.kind,
        "category": arguments.category,
        "gpc": gpc(arguments.sec_gpc),
    }


def gpc(header):
    """Of the request's Sec-GPC header, which a collector that looks at it passes on. Null is for one
    that does not look: Assent counts it, since a signal may have been lost there."""
    return header == "1"


def consent_record(arguments):
    """Everything that the subject has decided, not what changed: the topic is compacted. `version` must
    grow with each change of this subject; where the clock gives it, one writer per subject sees to that."""
    moment = now()
    return {
        "subject_id": arguments.subject,
        "version": moment,
        "recorded_at": moment,
        "age_band": arguments.age_band,
        "decisions": {purpose: {"status": status, "since": moment} for purpose, status in arguments.decide},
        "double_opt_in_at": moment if arguments.double_opt_in else None,
        "source": "preference-center",
    }


def now():
    return time.time_ns() // 1_000_000


def pair(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: expected KEY=VALUE")
    return key, value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default="localhost:9092")
    parser.add_argument("--partitioner", choices=PARTITIONERS, default="murmur2")
    parser.add_argument("--clickstream", default="clickstream", metavar="TOPIC")
    parser.add_argument("--consent-changelog", default="consent-changelog", metavar="TOPIC")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", type=pair)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("click")
    command.set_defaults(run=lambda shop, given: shop.click(click_event(given)))
    command.add_argument("session", metavar="SESSION")
    command.add_argument("--subject")
    command.add_argument("--sec-gpc", choices=["0", "1"], help="the request header Sec-GPC, if there was one")
    command.add_argument("--kind", default="PRODUCT_VIEW")
    command.add_argument("--category")
    command = commands.add_parser("consent")
    command.set_defaults(run=lambda shop, given: shop.consent(consent_record(given)))
    command.add_argument("subject", metavar="SUBJECT")
    command.add_argument("--decide", action="append", default=[], metavar="PURPOSE=STATUS", type=pair)
    command.add_argument("--age-band", default="UNKNOWN")
    command.add_argument("--double-opt-in", action="store_true", help="both steps of the opt-in were confirmed")
    command = commands.add_parser("erase")
    command.set_defaults(run=lambda shop, given: shop.erase(given.subject))
    command.add_argument("subject", metavar="SUBJECT")
    command = commands.add_parser("heartbeat")
    command.set_defaults(run=lambda shop, given: shop.heartbeat(given.source))
    command.add_argument("source", metavar="SOURCE", help="an id from consent.sources in the configuration of Assent")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    topics = (arguments.clickstream, arguments.consent_changelog)
    try:
        shop = Shop(arguments.bootstrap, arguments.partitioner, topics, arguments.set)
        arguments.run(shop, arguments)
        sys.stdout.flush()
    except KafkaException as error:
        sys.exit(f"shop.py: Kafka: {error.args[0].str()}")
    except (TypeError, ValueError) as error:
        sys.exit(f"shop.py: not a record of the schema: {error}")
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        sys.exit(f"shop.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
