"""A producer that does everything wrong, each on a key of its own, and then one thing right on every key.

usage: bad_producer.py BROKERS TOPIC
"""
import json
import sys
from uuid import uuid4

from confluent_kafka import Producer

brokers, topic = sys.argv[1], sys.argv[2]
producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})


def headers(**more):
    found = {"event_id": str(uuid4()), "event_type": "PaymentProcessed", "source": "bad-producer"}
    found.update(more)
    return [(name, value if isinstance(value, bytes) else value.encode()) for name, value in found.items() if value]


def payment(key):
    return {"aggregate_id": key, "order_id": key, "payment_id": "bad", "amount_cents": 1, "status": "APPROVED"}


def value(key):
    return json.dumps(payment(key)).encode()


bad = {
    "no-headers": (value("no-headers"), []),
    "unknown-type": (value("unknown-type"), headers(event_type="NobodyKnows")),
    "not-json": (b"this is not JSON", headers()),
    "not-utf8": (b"\xff\xfe\x00\x80", headers()),
    "tombstone": (None, headers()),
    "large": (b"[" + b"1," * 450_000 + b"1]", headers()),
    "bad-timestamp": (value("bad-timestamp"), headers(timestamp="the day after")),
    "from-the-future": (value("from-the-future"), headers(schema_version="99")),
    "header-not-utf8": (value("header-not-utf8"), headers(source=b"\xff\xfe")),
}
for key, (content, with_headers) in bad.items():
    producer.produce(topic, key=key, value=content, headers=with_headers)
# A message without a key is its aggregate's, when its value says which.
producer.produce(topic, value=value("no-key"), headers=headers())
producer.produce(topic, value=b"{}", headers=headers())
# An event id may be anything that names the event.
producer.produce(topic, key="odd-id", value=value("odd-id"), headers=headers(event_id="payment 17 of May"))
producer.flush()
