"""Drives the local Pub/Sub with google-cloud-pubsub."""
import base64
import http.server
import json
import os
import sys
import threading
import time

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

# A dead-letter policy: the attempts are counted, and what is used up goes to the other topic.
dead = publisher.topic_path("pipas-local", "python-dead")
dead_subscription = subscriber.subscription_path("pipas-local", "python-dead-sub")
publisher.create_topic(name=dead)
subscriber.create_subscription(request={"name": dead_subscription, "topic": dead})
made = subscriber.create_subscription(request={
    "name": subscription,
    "topic": topic,
    "dead_letter_policy": {"dead_letter_topic": dead, "max_delivery_attempts": 5},
    "retry_policy": {"minimum_backoff": {"seconds": 0}, "maximum_backoff": {"seconds": 0}},
})
assert (made.dead_letter_policy.dead_letter_topic, made.dead_letter_policy.max_delivery_attempts) == (dead, 5), made


def pull(name):
    """The next message, waiting for it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            received = subscriber.pull(request={"subscription": name, "max_messages": 1}, timeout=10).received_messages
        except exceptions.DeadlineExceeded:
            continue
        if received:
            return received[0]
    raise SystemExit(f"nothing came to {name}")


poison = publisher.publish(topic, b"poison", ordering_key="", kind="bad").result(timeout=30)
for attempt in range(1, 6):
    received = pull(subscription)
    assert (received.message.message_id, received.delivery_attempt) == (poison, attempt), received
    subscriber.modify_ack_deadline(request={"subscription": subscription, "ack_ids": [received.ack_id], "ack_deadline_seconds": 0})
letter = pull(dead_subscription)
attributes = dict(letter.message.attributes)
assert (letter.message.data, attributes["kind"]) == (b"poison", "bad"), letter
assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5", attributes
assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "python-sub", attributes
assert letter.delivery_attempt == 0, "the other subscription has no policy"
subscriber.acknowledge(request={"subscription": dead_subscription, "ack_ids": [letter.ack_id]})

# Push: what is published comes as a request, and again until it is answered with a success.
pushed, arrived = [], threading.Event()


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        pushed.append(body)
        self.send_response(500 if len(pushed) == 1 else 204)
        self.end_headers()
        if len(pushed) >= 2:
            arrived.set()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
threading.Thread(target=server.serve_forever, daemon=True).start()
push_subscription = subscriber.subscription_path("pipas-local", "python-push")
url = f"http://127.0.0.1:{server.server_address[1]}/push"
made = subscriber.create_subscription(request={
    "name": push_subscription,
    "topic": topic,
    "push_config": {"push_endpoint": url},
    "dead_letter_policy": {"dead_letter_topic": dead, "max_delivery_attempts": 6},
    "retry_policy": {"minimum_backoff": {"seconds": 0}, "maximum_backoff": {"seconds": 1}},
})
assert made.push_config.push_endpoint == url, made
sent = publisher.publish(topic, b"to be pushed", ordering_key="", n="1").result(timeout=30)
assert arrived.wait(60), pushed
assert [body["message"]["messageId"] for body in pushed[:2]] == [sent, sent], pushed
assert base64.b64decode(pushed[0]["message"]["data"]) == b"to be pushed" and pushed[0]["message"]["attributes"]["n"] == "1"
assert pushed[0]["subscription"] == push_subscription, pushed
assert [body["deliveryAttempt"] for body in pushed[:2]] == [1, 2], pushed
# Without an endpoint it is a pull subscription again.
subscriber.modify_push_config(request={"subscription": push_subscription, "push_config": {}})
assert subscriber.get_subscription(request={"subscription": push_subscription}).push_config.push_endpoint == ""
last = publisher.publish(topic, b"to be pulled", ordering_key="").result(timeout=30)
received = pull(push_subscription)
assert received.message.message_id == last, received
subscriber.acknowledge(request={"subscription": push_subscription, "ack_ids": [received.ack_id]})
server.shutdown()

for name in [subscription, dead_subscription, push_subscription]:
    subscriber.delete_subscription(request={"subscription": name})
publisher.delete_topic(topic=dead)
publisher.delete_topic(topic=topic)
print("ok")
