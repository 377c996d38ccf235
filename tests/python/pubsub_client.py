"""Drives the local Pub/Sub with google-cloud-pubsub."""
import json
import os
import sys
import threading

endpoints = json.loads(sys.argv[1])
os.environ["PUBSUB_EMULATOR_HOST"] = endpoints["pubsub"].removeprefix("http://")

from google.api_core import exceptions
from google.cloud import pubsub_v1

options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
publisher = pubsub_v1.PublisherClient(publisher_options=options)
subscriber = pubsub_v1.SubscriberClient()
topic = publisher.topic_path("pipas-local", "python")
subscription = subscriber.subscription_path("pipas-local", "python-sub")
publisher.create_topic(name=topic)
try:
    publisher.create_topic(name=topic)
    raise SystemExit("a topic was made twice")
except exceptions.AlreadyExists:
    pass
subscriber.create_subscription(request={"name": subscription, "topic": topic, "enable_message_ordering": True})

futures = [publisher.publish(topic, b"event-%d" % i, ordering_key="k", index=str(i)) for i in range(50)]
ids = [future.result(timeout=30) for future in futures]
assert len(set(ids)) == 50

# Pull, nack by a deadline of 0, pull again.
first = subscriber.pull(request={"subscription": subscription, "max_messages": 10}, timeout=30)
assert first.received_messages, "nothing was pulled"
ack_ids = [received.ack_id for received in first.received_messages]
subscriber.modify_ack_deadline(request={"subscription": subscription, "ack_ids": ack_ids, "ack_deadline_seconds": 0})

got, done = [], threading.Event()


def receive(message):
    got.append((int(message.attributes["index"]), message.data))
    message.ack()
    if len(got) >= 50:
        done.set()


stream = subscriber.subscribe(subscription, callback=receive)
assert done.wait(60), f"{len(got)} of 50 messages"
stream.cancel()
stream.result(timeout=30)
assert [index for index, _ in got] == list(range(50)), "one key is delivered in order"
assert got[7][1] == b"event-7"
try:
    subscriber.pull(request={"subscription": subscription + "-none", "max_messages": 1}, timeout=30)
    raise SystemExit("a subscription that does not exist was pulled")
except exceptions.NotFound:
    pass
subscriber.delete_subscription(request={"subscription": subscription})
publisher.delete_topic(topic=topic)
print("ok")
