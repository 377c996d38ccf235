"""Writes the sample archives of shared/archive/tests/foreign with fastavro, from the published schemas:

- Pub/Sub's Cloud Storage subscriptions, Avro with and without metadata
  (https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#avro); with metadata the ordering key is an attribute;
- Dataflow's template "Pub/Sub to Avro Files on Cloud Storage": what Avro's reflection makes of AvroPubsubMessageRecord
  (https://github.com/GoogleCloudPlatform/DataflowTemplates, com.google.cloud.teleport.avro).

    python make_foreign_archives.py shared/archive/tests/foreign
"""
import datetime
import json
import pathlib
import sys

import fastavro

PUBSUB_METADATA = {
    "type": "record",
    "namespace": "com.google.pubsub",
    "name": "PubsubMessageWithMetadata",
    "fields": [
        {"name": "subscription_name", "type": "string"},
        {"name": "message_id", "type": "string"},
        {"name": "publish_time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "attributes", "type": {"type": "map", "values": "string"}},
        {"name": "data", "type": "bytes"},
    ],
}
PUBSUB_DATA = {
    "type": "record",
    "namespace": "com.google.pubsub",
    "name": "PubsubMessage",
    "fields": [{"name": "data", "type": "bytes"}],
}
DATAFLOW = {
    "type": "record",
    "namespace": "com.google.cloud.teleport.avro",
    "name": "AvroPubsubMessageRecord",
    "fields": [
        {"name": "message", "type": {"type": "bytes", "java-class": "[B"}},
        {"name": "attributes", "type": {"type": "map", "values": "string"}},
        {"name": "timestamp", "type": "long"},
    ],
}


def event(at):
    return json.dumps(
        {
            "event_id": f"foreign-{at}",
            "timestamp": f"2024-02-01T10:00:0{at}Z",
            "data": {"n": at},
            "metadata": {"source": "elsewhere", "version": "1"},
        },
        separators=(",", ":"),
    ).encode()


def attributes(at):
    return [{}, {"team": "a"}, {"team": "b"}][at]


def with_metadata(at):
    published = datetime.datetime(2024, 2, 1, 10, 0, at, 123, tzinfo=datetime.timezone.utc)
    key = {"ordering_key": "order-1"} if at == 1 else {}
    return {
        "subscription_name": "projects/p/subscriptions/s",
        "message_id": str(10_000_000_000_000_000 + at),
        "publish_time": published,
        "attributes": attributes(at) | key,
        "data": event(at),
    }


def dataflow(at):
    return {"message": event(at), "attributes": attributes(at), "timestamp": 1706781600000 + at * 1001}


def write(name, schema, records, codec="null"):
    with (pathlib.Path(sys.argv[1]) / name).open("wb") as file:
        fastavro.writer(file, schema, records, codec=codec, sync_marker=b"pipas-sample-avr")


write("pubsub-metadata.avro", PUBSUB_METADATA, [with_metadata(at) for at in range(3)])
write("pubsub-metadata-deflate.avro", PUBSUB_METADATA, [with_metadata(at) for at in range(3)], "deflate")
write("pubsub-data.avro", PUBSUB_DATA, [{"data": event(at)} for at in range(3)])
write("dataflow.avro", DATAFLOW, [dataflow(at) for at in range(3)], "deflate")
