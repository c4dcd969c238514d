"""A plain consumer, in Python: no auto-commit, read_committed, dispatch by the event_type header. Prints what it
understood of each event as a line of JSON, and ends when nothing comes for a while.

usage: reader.py BROKERS TOPIC..
"""
import json
import sys

from confluent_kafka import Consumer

brokers, topics = sys.argv[1], sys.argv[2:]
consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": "python-reader",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
})
consumer.subscribe(topics)

handlers = {
    "OrderCreated": lambda event: event["items"] and event["customer_id"],
    "OrderShipped": lambda event: event["tracking_number"],
    "PaymentProcessed": lambda event: event["payment_id"] and event["status"],
    "InventoryUpdated": lambda event: event["sku"],
}
quiet, assigned = 0, False
while quiet < 5:
    message = consumer.poll(1.0)
    assigned = assigned or bool(consumer.assignment())
    if message is None:
        quiet += assigned
        continue
    if message.error():
        continue
    quiet = 0
    headers = {name: value.decode() for name, value in message.headers()}
    event = json.loads(message.value())
    handler = handlers.get(headers["event_type"])
    print(json.dumps({
        "topic": message.topic(),
        "key": message.key().decode(),
        "aggregate_id": event["aggregate_id"],
        "event_id": headers["event_id"],
        "event_type": headers["event_type"],
        "missing": [name for name in ("timestamp", "source", "correlation_id") if name not in headers],
        "understood": handler is None or bool(handler(event)),
    }))
    consumer.commit(message)
consumer.close()
