"""Another team's payment service, in Python: it knows the topics and the headers, and nothing of factstream.

Reads OrderCreated, answers with PaymentProcessed in the plainest form: five headers, a time without a zone, a flat JSON
value, key = the aggregate id. Every answer is sent twice, as a producer without idempotence does. Ends after COUNT orders.

usage: payment_service.py BROKERS COUNT
"""
import json
import sys
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from confluent_kafka import Consumer, Producer

brokers, count = sys.argv[1], int(sys.argv[2])
consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": "python-payment-service",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
})
producer = Producer({"bootstrap.servers": brokers})
consumer.subscribe(["orders.events"])

answered = set()
while len(answered) < count:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    headers = dict(message.headers() or [])
    order = message.key().decode()
    if headers.get("event_type") == b"OrderCreated" and order not in answered:
        event = json.loads(message.value())
        assert event["aggregate_id"] == order, event
        amount = sum(item["quantity"] * item["price_cents"] for item in event["items"])
        answer = {
            "aggregate_id": order,
            "order_id": order,
            "payment_id": f"py-{order}",
            "amount_cents": amount,
            "status": "APPROVED",
        }
        answer_headers = [
            ("event_id", str(uuid5(NAMESPACE_URL, order)).encode()),
            ("event_type", b"PaymentProcessed"),
            ("timestamp", datetime.utcnow().isoformat().encode()),
            ("source", b"payment-service"),
            ("correlation_id", headers["correlation_id"]),
        ]
        for _ in range(2):
            producer.produce("payments.events", key=order, value=json.dumps(answer), headers=answer_headers)
        answered.add(order)
    producer.flush()
    consumer.commit(message)
consumer.close()
print(len(answered))
