"""Prints what there is: topics, subscriptions, datasets, tables and views, as Google's own clients tell it."""
import json
import os
import sys

endpoints = json.loads(sys.argv[1])
os.environ["PUBSUB_EMULATOR_HOST"] = endpoints["pubsub"].removeprefix("http://")

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, pubsub_v1

project = endpoints["project"]


def short(name):
    return name.rsplit("/", 1)[-1]


def subscription(found):
    push = found.push_config.push_endpoint
    dead_letter = found.dead_letter_policy
    return {
        "topic": short(found.topic),
        "path": "/" + push.split("/", 3)[3] if push else None,
        "is_ordered": found.enable_message_ordering,
        "filter": found.filter,
        "ack_deadline_seconds": found.ack_deadline_seconds,
        "retention_seconds": int(found.message_retention_duration.total_seconds()),
        "expires": bool(found.expiration_policy.ttl),
        "dead_letter_topic": short(dead_letter.dead_letter_topic) or None,
        "max_delivery_attempts": dead_letter.max_delivery_attempts or None,
    }


def table(found):
    resource = found.to_api_repr()
    partition = resource.get("timePartitioning")
    key = resource.get("tableConstraints") or {}
    return {
        "schema": resource["schema"]["fields"],
        "partition": {"field": partition["field"], "type": partition["type"]} if partition else None,
        "cluster": (resource.get("clustering") or {}).get("fields", []),
        "primary_key": (key.get("primaryKey") or {}).get("columns", []),
    }


client = bigquery.Client(
    project=project,
    credentials=AnonymousCredentials(),
    client_options=ClientOptions(api_endpoint=endpoints["bigquery"]),
)
made = {"datasets": [dataset.dataset_id for dataset in client.list_datasets()], "tables": {}, "views": {}}
for dataset in made["datasets"]:
    for listed in client.list_tables(dataset):
        name = f"{dataset}.{listed.table_id}"
        found = client.get_table(listed.reference)
        if found.table_type == "VIEW":
            made["views"][name] = found.view_query
        else:
            made["tables"][name] = table(found)
publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
path = f"projects/{project}"
made["topics"] = [short(found.name) for found in publisher.list_topics(request={"project": path})]
made["subscriptions"] = {
    short(found.name): subscription(found) for found in subscriber.list_subscriptions(request={"project": path})
}
print(json.dumps(made))
