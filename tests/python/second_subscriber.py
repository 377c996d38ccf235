"""A second subscriber in real time, with google-cloud-pubsub: takes COUNT messages of TOPIC, and prints their ids and data."""
import json
import os
import sys
import threading

endpoints, topic_id, subscription_id, count = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
os.environ["PUBSUB_EMULATOR_HOST"] = endpoints["pubsub"].removeprefix("http://")

from google.cloud import pubsub_v1

subscriber = pubsub_v1.SubscriberClient()
topic = f"projects/pipas-local/topics/{topic_id}"
subscription = subscriber.subscription_path("pipas-local", subscription_id)
subscriber.create_subscription(request={"name": subscription, "topic": topic})

got, done = {}, threading.Event()


def receive(message):
    got[message.attributes["ce-id"]] = json.loads(message.data)
    message.ack()
    if len(got) >= count:
        done.set()


stream = subscriber.subscribe(subscription, callback=receive)
assert done.wait(90), f"{len(got)} of {count} messages"
stream.cancel()
stream.result(timeout=30)
print(json.dumps(got))
