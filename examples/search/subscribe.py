"""A second subscriber: prints each event of a subscription as it comes, until Ctrl-C or after COUNT of them.

    pip install google-cloud-pubsub
    python3 examples/search/subscribe.py PROJECT SUBSCRIPTION [COUNT]

Beside `pipas up`: PUBSUB_EMULATOR_HOST=localhost:8083, and the project pipas-local.
"""

import sys
import threading

from google.cloud import pubsub_v1

project, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None
done, lock, seen = threading.Event(), threading.Lock(), set()


def receive(message):
    # Pub/Sub delivers at least once. `ce-id` is the event's id: by it a program takes each event once.
    event_id = message.attributes.get("ce-id", message.message_id)
    with lock:
        if event_id not in seen:
            seen.add(event_id)
            print(event_id, message.data.decode(), flush=True)
    message.ack()
    if count is not None and len(seen) >= count:
        done.set()


subscriber = pubsub_v1.SubscriberClient()
pulling = subscriber.subscribe(subscriber.subscription_path(project, name), callback=receive)
try:
    done.wait()
except KeyboardInterrupt:
    pass
pulling.cancel()
pulling.result()
