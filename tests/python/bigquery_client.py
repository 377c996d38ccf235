"""Drives the local BigQuery with google-cloud-bigquery."""
import datetime
import decimal
import io
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
# The short way, and a dry run.
answer = client.query_and_wait("SELECT id, item.n AS n FROM shop.orders WHERE id < 2 ORDER BY id")
assert [(row.id, row.n) for row in answer] == [(0, 0), (1, 1)] and answer.total_rows == 2
assert [row.x for row in client.query_and_wait("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 25)) AS x ORDER BY x", page_size=10)] == list(range(1, 26))
dry = client.query("SELECT id, total FROM shop.orders", job_config=bigquery.QueryJobConfig(dry_run=True, use_query_cache=False))
assert dry.state == "DONE" and dry.total_bytes_processed is not None and [field.name for field in dry.schema] == ["id", "total"], dry._properties
try:
    client.query("SELECT nothing FROM shop.orders", job_config=bigquery.QueryJobConfig(dry_run=True)).result()
    raise SystemExit("a dry run took a column that does not exist")
except exceptions.BadRequest:
    pass

# Statements that change rows say how many.
client.query("CREATE TABLE shop.notes (id INT64, note STRING)").result()
insert = client.query("INSERT INTO shop.notes (id, note) VALUES (1, 'a'), (2, 'b'), (3, NULL)")
assert list(insert.result()) == [] and insert.num_dml_affected_rows == 3, insert.num_dml_affected_rows
delete = client.query("DELETE FROM shop.notes WHERE id >= 2")
delete.result()
assert delete.num_dml_affected_rows == 2 and delete.statement_type == "DELETE", delete._properties
assert client.query_and_wait("DELETE FROM shop.notes WHERE id = 9").num_dml_affected_rows == 0
assert client.get_job(delete.job_id).num_dml_affected_rows == 2
assert client.query_and_wait("SELECT COUNT(*) AS n FROM shop.notes").num_dml_affected_rows is None

# Parameters of every shape.
struct = bigquery.StructQueryParameter(
    "who",
    bigquery.ScalarQueryParameter("name", "STRING", "x3"),
    bigquery.ScalarQueryParameter("n", "INT64", None),
    bigquery.ArrayQueryParameter("tags", "STRING", ["a", "z"]),
)
typed = bigquery.QueryJobConfig(query_parameters=[
    bigquery.ArrayQueryParameter("ids", "INT64", [1, 3, 9]),
    bigquery.ArrayQueryParameter("none", "STRING", []),
    bigquery.ScalarQueryParameter("nothing", "STRING", None),
    bigquery.ScalarQueryParameter("at", "TIMESTAMP", datetime.datetime(2024, 2, 1, 10, 4, 3, tzinfo=datetime.timezone.utc)),
    bigquery.ScalarQueryParameter("day", "DATE", datetime.date(2024, 2, 1)),
    bigquery.ScalarQueryParameter("raw", "BYTES", b"\x00\xff"),
    bigquery.ScalarQueryParameter("yes", "BOOL", True),
    bigquery.ScalarQueryParameter("total", "NUMERIC", decimal.Decimal("1.5")),
    bigquery.ScalarQueryParameter("ratio", "FLOAT64", 0.25),
    struct,
    bigquery.ArrayQueryParameter("pairs", "STRUCT", [
        bigquery.StructQueryParameter(None, bigquery.ScalarQueryParameter("k", "STRING", "p"), bigquery.ScalarQueryParameter("v", "INT64", 1)),
        bigquery.StructQueryParameter(None, bigquery.ScalarQueryParameter("k", "STRING", "q"), bigquery.ScalarQueryParameter("v", "INT64", 2)),
    ]),
])
found = list(client.query(
    """SELECT id, @nothing IS NULL AS nothing, ARRAY_LENGTH(@none) AS none, at = @at AS at, DATE(at) = @day AS day, @raw AS raw,
              @yes AS yes, total = @total AS total, @ratio AS ratio, @who.name = item.name AS who, @who.n IS NULL AS n,
              @who.tags[OFFSET(1)] AS tag, (SELECT SUM(p.v) FROM UNNEST(@pairs) AS p) AS v
       FROM shop.orders WHERE id IN UNNEST(@ids) ORDER BY id""", job_config=typed).result())
assert [row.id for row in found] == [1, 3], found
assert dict(found[1]) == {
    "id": 3, "nothing": True, "none": 0, "at": True, "day": True, "raw": b"\x00\xff", "yes": True, "total": True, "ratio": 0.25,
    "who": True, "n": True, "tag": "z", "v": 3}, dict(found[1])
positional = bigquery.QueryJobConfig(query_parameters=[
    bigquery.ScalarQueryParameter(None, "INT64", 2), bigquery.ArrayQueryParameter(None, "INT64", [2, 5])])
assert [row.f for row in client.query("SELECT ? IN UNNEST(?) AS f", job_config=positional).result()] == [True]

# The ends of what a column holds.
ends = list(client.query_and_wait("""SELECT TIMESTAMP '0001-01-01 00:00:00+00' AS first, TIMESTAMP '9999-12-31 23:59:59.999999+00' AS last,
    DATE '9999-12-31' AS day, 9223372036854775807 AS n, NUMERIC '-99999999999999999999999999999.999999999' AS least"""))[0]
assert ends.first.year == 1 and ends.last == datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc), ends
assert (ends.day, ends.n, ends.least) == (datetime.date(9999, 12, 31), 2**63 - 1, decimal.Decimal("-99999999999999999999999999999.999999999"))

# What the local BigQuery does not do, it says.
for load in [
    lambda: client.load_table_from_json([{"id": 1}], "shop.notes"),
    lambda: client.load_table_from_file(io.BytesIO(b'{"id": 1}\n'), "shop.notes", size=10, job_config=bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON")),
    lambda: client.load_table_from_file(io.BytesIO(b'{"id": 1}\n'), "shop.notes", job_config=bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON")),
    lambda: client.load_table_from_uri("gs://bucket/file", "shop.notes"),
    lambda: client.copy_table("shop.notes", "shop.copied"),
]:
    try:
        load()
        raise SystemExit("a load job was taken")
    except exceptions.MethodNotImplemented as error:
        assert "job is not supported by the local BigQuery" in str(error), error

client.delete_table("shop.orders")
try:
    client.get_table("shop.orders")
    raise SystemExit("a deleted table was found")
except exceptions.NotFound:
    pass
print("ok")
