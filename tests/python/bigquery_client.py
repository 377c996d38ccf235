"""Drives the local BigQuery with google-cloud-bigquery."""
import datetime
import json
import sys

from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

endpoints = json.loads(sys.argv[1])
client = bigquery.Client(
    project="pipas-local",
    credentials=AnonymousCredentials(),
    client_options=ClientOptions(api_endpoint=endpoints["bigquery"]),
)
client.create_dataset("shop")
try:
    client.create_dataset("shop")
    raise SystemExit("a dataset was made twice")
except exceptions.Conflict:
    pass
table = bigquery.Table(
    "pipas-local.shop.orders",
    schema=[
        bigquery.SchemaField("id", "INT64", mode="REQUIRED"),
        bigquery.SchemaField("at", "TIMESTAMP"),
        bigquery.SchemaField("total", "NUMERIC"),
        bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
        bigquery.SchemaField("item", "STRUCT", fields=[bigquery.SchemaField("name", "STRING"), bigquery.SchemaField("n", "INT64")]),
        bigquery.SchemaField("more", "JSON"),
    ],
)
table.time_partitioning = bigquery.TimePartitioning(field="at")
table.clustering_fields = ["id"]
client.create_table(table)
rows = [
    {"id": i, "at": "2024-02-01T10:04:%02dZ" % i, "total": "1.5", "tags": ["a", "b"], "item": {"name": "x%d" % i, "n": i}, "more": json.dumps({"k": i})}
    for i in range(5)
]
assert client.insert_rows_json("shop.orders", rows) == []
errors = client.insert_rows_json("shop.orders", [{"id": "no number"}])
assert errors and errors[0]["index"] == 0, errors

job = client.query(
    "SELECT id, at, total, tags, item, item.name AS name, JSON_VALUE(more, '$.k') AS k FROM `pipas-local.shop.orders` WHERE id >= @least ORDER BY id",
    job_config=bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("least", "INT64", 3)]),
)
found = list(job.result())
assert [row.id for row in found] == [3, 4], found
assert found[0].at == datetime.datetime(2024, 2, 1, 10, 4, 3, tzinfo=datetime.timezone.utc), found[0].at
assert str(found[0].total) in ("1.5", "1.500000000"), found[0].total
assert found[0].tags == ["a", "b"] and found[0].item == {"name": "x3", "n": 3} and found[0].name == "x3" and found[0].k == "3"

listed = list(client.list_rows("shop.orders", max_results=2))
assert len(listed) == 2
got = client.get_table("shop.orders")
assert got.num_rows == 5 and got.schema[0].mode == "REQUIRED" and got.clustering_fields == ["id"]
got.schema = [*got.schema, bigquery.SchemaField("note", "STRING")]
client.update_table(got, ["schema"])
assert list(client.query("SELECT note FROM shop.orders LIMIT 1").result())[0].note is None
view = bigquery.Table("pipas-local.shop.big")
view.view_query = "SELECT id FROM shop.orders WHERE id > 3"
client.create_table(view)
assert [row.id for row in client.query("SELECT * FROM shop.big").result()] == [4]
# Pages.
many = list(client.query("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS x ORDER BY x").result(page_size=1000))
assert [row.x for row in many] == list(range(1, 2501))
for sql, error in [("SELECT nothing FROM shop.orders", exceptions.BadRequest), ("SELECT 1 FROM shop.none", exceptions.NotFound)]:
    try:
        client.query(sql).result()
        raise SystemExit(f"{sql} was answered")
    except error:
        pass
client.delete_table("shop.orders")
try:
    client.get_table("shop.orders")
    raise SystemExit("a deleted table was found")
except exceptions.NotFound:
    pass
print("ok")
