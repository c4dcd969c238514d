"""Another team's shop, in Python: it places orders as plainly as can be (who, what, what each costs; no total), and compresses
what it sends with each of Kafka's codecs in turn.

usage: order_producer.py BROKERS ORDERS_OF_EACH_CODEC
"""
import json
import sys
from datetime import datetime
from uuid import uuid4

from confluent_kafka import Producer

brokers, count = sys.argv[1], int(sys.argv[2])
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    # The wait fills one batch, so that there is something to compress.
    producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": 200})
    for number in range(count):
        order = f"{codec}-{number}"
        event = {
            "aggregate_id": order,
            "customer_id": f"customer-{number}",
            "items": [
                {"sku": "SKU-1", "quantity": 2, "price_cents": 1999},
                {"sku": "SKU-2", "quantity": 1, "price": 0.5},
            ],
        }
        headers = [
            ("event_id", str(uuid4()).encode()),
            ("event_type", b"OrderCreated"),
            ("timestamp", datetime.utcnow().isoformat().encode()),
            ("source", b"shop"),
            ("correlation_id", order.encode()),
        ]
        producer.produce("orders.events", key=order, value=json.dumps(event), headers=headers, partition=0)
    producer.flush()
