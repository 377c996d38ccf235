"""Writes the sample archives of shared/archive/tests/foreign with fastavro, from the published schemas:

- Pub/Sub's Cloud Storage subscriptions, Avro with and without metadata
  (https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#avro); with metadata the ordering key is an attribute;
- Dataflow's template "Pub/Sub to Avro Files on Cloud Storage": what Avro's reflection makes of AvroPubsubMessageRecord
  (https://github.com/GoogleCloudPlatform/DataflowTemplates, com.google.cloud.teleport.avro);
- both as tools write them that copy them: with other codecs, unions with null in either order, nulls, and times of other units.

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



def record(schema, **types):
    """`schema` with other types of some fields."""
    fields = [{**field, "type": types.get(field["name"], field["type"])} for field in schema["fields"]]
    return {**schema, "fields": fields}


def logical(name):
    return {"type": "long", "logicalType": name}


STRINGS_OR_NULL = {"type": "map", "values": ["null", "string"]}
STRINGS_THEN_NULL = {"type": "map", "values": ["string", "null"]}
UNIONS = record(
    PUBSUB_METADATA,
    message_id=["null", "string"],
    publish_time=[logical("timestamp-micros"), "null"],
    attributes=["null", STRINGS_THEN_NULL],
    data=["bytes", "null"],
)
NULLS = record(PUBSUB_METADATA, attributes=[STRINGS_OR_NULL, "null"], data=["null", "bytes"])
DATAFLOW_NULLS = record(DATAFLOW, message=["null", "bytes"], attributes=["null", STRINGS_OR_NULL], timestamp=["null", "long"])


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

SAMPLES = [with_metadata(at) for at in range(3)]


def at_times(records, field, time):
    return [{**record, field: time(record[field])} for record in records]


def micros(time):
    return int(time.timestamp()) * 1_000_000 + time.microsecond


write("pubsub-metadata-snappy.avro", PUBSUB_METADATA, SAMPLES, "snappy")
write("pubsub-metadata-zstd.avro", PUBSUB_METADATA, SAMPLES, "zstandard")
write("pubsub-metadata-unions.avro", UNIONS, SAMPLES)
write("pubsub-metadata-bare.avro", record(PUBSUB_METADATA, publish_time="long"), at_times(SAMPLES, "publish_time", micros))
write("pubsub-metadata-millis.avro", record(PUBSUB_METADATA, publish_time=logical("timestamp-millis")), SAMPLES)
# fastavro knows no name for nanoseconds, and writes the number under theirs.
write(
    "pubsub-metadata-nanos.avro",
    record(PUBSUB_METADATA, publish_time=logical("timestamp-nanos")),
    at_times(SAMPLES, "publish_time", lambda time: micros(time) * 1000 + 999),
)
write(
    "pubsub-metadata-local.avro",
    record(PUBSUB_METADATA, publish_time=logical("local-timestamp-micros")),
    at_times(SAMPLES, "publish_time", lambda time: time.replace(tzinfo=None)),
)
write(
    "pubsub-metadata-nulls.avro",
    NULLS,
    [
        SAMPLES[0] | {"attributes": {"team": "b", "gone": None}},
        SAMPLES[1] | {"attributes": None},
        SAMPLES[2] | {"attributes": {"ordering_key": None}, "data": None},
    ],
)
write("dataflow-micros.avro", DATAFLOW, at_times([dataflow(at) for at in range(3)], "timestamp", lambda time: time * 1000))
write(
    "dataflow-millis.avro",
    record(DATAFLOW, timestamp=["null", logical("timestamp-millis")]),
    at_times([dataflow(at) for at in range(3)], "timestamp", lambda time: datetime.datetime.fromtimestamp(time / 1000, datetime.timezone.utc)),
)
write("dataflow-nulls.avro", DATAFLOW_NULLS, [dataflow(0) | {"message": None}, dataflow(1) | {"attributes": None}, dataflow(2)])
