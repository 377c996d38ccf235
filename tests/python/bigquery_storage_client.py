"""Drives the local BigQuery Storage Write API with google-cloud-bigquery-storage."""
import json
import sys

import grpc
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage_v1
from google.cloud.bigquery_storage_v1 import types, writer
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

endpoints = json.loads(sys.argv[1])
rest = bigquery.Client(
    project="pipas-local",
    credentials=AnonymousCredentials(),
    client_options=ClientOptions(api_endpoint=endpoints["bigquery"]),
)
rest.create_dataset("d")
rest.create_table(bigquery.Table("pipas-local.d.t", schema=[
    bigquery.SchemaField("id", "INT64", mode="REQUIRED"), bigquery.SchemaField("name", "STRING")]))
channel = grpc.insecure_channel(endpoints["bigquery_storage"].removeprefix("http://"))
client = bigquery_storage_v1.BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))
parent = client.table_path("pipas-local", "d", "t")

file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="p", syntax="proto2")
message = file.message_type.add(name="Row")
message.field.add(name="id", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64, label=1)
message.field.add(name="name", number=2, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING, label=1)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Row = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Row"))


def template(stream):
    schema = types.ProtoSchema(proto_descriptor=message)
    return types.AppendRowsRequest(write_stream=stream, proto_rows=types.AppendRowsRequest.ProtoData(writer_schema=schema))


def request(rows, offset=None):
    data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=[row.SerializeToString() for row in rows]))
    return types.AppendRowsRequest(proto_rows=data, offset=offset)


def count():
    return list(rest.query("SELECT COUNT(*) AS n FROM d.t").result())[0].n


# The default stream.
default = writer.AppendRowsStream(client, template(f"{parent}/streams/_default"))
for i in range(3):
    default.send(request([Row(id=i, name="default")])).result(timeout=30)
default.close()
assert count() == 3, count()

# A pending stream is visible once it is committed.
pending = client.create_write_stream(parent=parent, write_stream=types.WriteStream(type_=types.WriteStream.Type.PENDING))
stream = writer.AppendRowsStream(client, template(pending.name))
assert stream.send(request([Row(id=10), Row(id=11)], 0)).result(timeout=30).append_result.offset == 0
assert stream.send(request([Row(id=12)], 2)).result(timeout=30).append_result.offset == 2
try:
    stream.send(request([Row(id=12)], 2)).result(timeout=30)
    raise SystemExit("an offset was written twice")
except exceptions.AlreadyExists:
    pass
stream.close()
assert count() == 3
assert client.finalize_write_stream(name=pending.name).row_count == 3
client.batch_commit_write_streams(types.BatchCommitWriteStreamsRequest(parent=parent, write_streams=[pending.name]))
assert count() == 6, count()

# A committed stream: offsets, a bad row, the end.
committed = client.create_write_stream(parent=parent, write_stream=types.WriteStream(type_=types.WriteStream.Type.COMMITTED))
stream = writer.AppendRowsStream(client, template(committed.name))
stream.send(request([Row(id=20)], 0)).result(timeout=30)
assert count() == 7
try:
    stream.send(request([Row(id=21), Row(name="no id")], 1)).result(timeout=30)
    raise SystemExit("a row without its REQUIRED column was taken")
except exceptions.GoogleAPICallError:
    pass
assert count() == 7
stream.close()
stream = writer.AppendRowsStream(client, template(committed.name))
try:
    stream.send(request([Row(id=30)], 9)).result(timeout=30)
    raise SystemExit("an offset beyond the end was taken")
except exceptions.OutOfRange:
    pass
stream.close()
assert client.finalize_write_stream(name=committed.name).row_count == 1
assert client.finalize_write_stream(name=committed.name).row_count == 1, "to finalize again changes nothing"

# What is finalized takes nothing more.
stream = writer.AppendRowsStream(client, template(committed.name))
try:
    stream.send(request([Row(id=21)], 1)).result(timeout=30)
    raise SystemExit("a finalized stream took a row")
except exceptions.GoogleAPICallError as error:
    assert "STREAM_FINALIZED" in str(error) or "finalized" in str(error).lower(), error
stream.close()
# The same without the helper, which shows the error's details.
answers = client.append_rows(iter([types.AppendRowsRequest(
    write_stream=committed.name,
    offset=1,
    proto_rows=types.AppendRowsRequest.ProtoData(
        writer_schema=types.ProtoSchema(proto_descriptor=message),
        rows=types.ProtoRows(serialized_rows=[Row(id=21).SerializeToString()]),
    ),
)]))
answer = next(iter(answers))
details = [types.StorageError.deserialize(detail.value) for detail in answer.error.details if detail.type_url.endswith("StorageError")]
assert [detail.code for detail in details] == [types.StorageError.StorageErrorCode.STREAM_FINALIZED], answer
assert count() == 7

# A buffered stream is visible as far as it is flushed.
buffered = client.create_write_stream(parent=parent, write_stream=types.WriteStream(type_=types.WriteStream.Type.BUFFERED))
stream = writer.AppendRowsStream(client, template(buffered.name))
assert stream.send(request([Row(id=40), Row(id=41), Row(id=42)], 0)).result(timeout=30).append_result.offset == 0
assert count() == 7, "nothing was flushed"
assert client.flush_rows(types.FlushRowsRequest(write_stream=buffered.name, offset=1)).offset == 1
assert count() == 9, count()
assert client.flush_rows(types.FlushRowsRequest(write_stream=buffered.name, offset=2)).offset == 2
assert count() == 10, count()
try:
    client.flush_rows(types.FlushRowsRequest(write_stream=buffered.name, offset=3))
    raise SystemExit("more was flushed than there is")
except exceptions.GoogleAPICallError:
    pass
stream.close()
assert client.get_write_stream(name=buffered.name).type_ == types.WriteStream.Type.BUFFERED
try:
    client.flush_rows(types.FlushRowsRequest(write_stream=committed.name, offset=0))
    raise SystemExit("a committed stream was flushed")
except exceptions.GoogleAPICallError:
    pass

# Change data: the newest row of a key is shown.
keyed = bigquery.Table.from_api_repr({
    "tableReference": {"projectId": "pipas-local", "datasetId": "d", "tableId": "keyed"},
    "schema": {"fields": [{"name": "id", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "name", "type": "STRING"}]},
    "tableConstraints": {"primaryKey": {"columns": ["id"]}},
    "clustering": {"fields": ["id"]},
})
assert rest.create_table(keyed).table_constraints.primary_key.columns == ["id"]
assert rest.get_table("pipas-local.d.keyed").table_constraints.primary_key.columns == ["id"]
message.field.add(name="_CHANGE_TYPE", number=3, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING, label=1)
message.field.add(name="_CHANGE_SEQUENCE_NUMBER", number=4, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING, label=1)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Change = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Row"))


def change(id, name, kind, sequence):
    return Change(id=id, name=name, _CHANGE_TYPE=kind, _CHANGE_SEQUENCE_NUMBER=sequence)


table = client.table_path("pipas-local", "d", "keyed")
stream = writer.AppendRowsStream(client, template(f"{table}/streams/_default"))
stream.send(request([change(1, "new", "UPSERT", "A"), change(2, "new", "UPSERT", "A")])).result(timeout=30)
stream.send(request([change(1, "late", "UPSERT", "9"), change(2, None, "DELETE", "B")])).result(timeout=30)
try:
    stream.send(request([change(3, "x", "INSERT", "1")])).result(timeout=30)
    raise SystemExit("a change that is neither UPSERT nor DELETE was taken")
except exceptions.GoogleAPICallError:
    pass
stream.close()
shown = [(row.id, row.name) for row in rest.query("SELECT id, name FROM d.keyed").result()]
assert shown == [(1, "new")], shown
committed = client.create_write_stream(parent=table, write_stream=types.WriteStream(type_=types.WriteStream.Type.COMMITTED))
stream = writer.AppendRowsStream(client, template(committed.name))
try:
    stream.send(request([change(4, "x", "UPSERT", "1")], 0)).result(timeout=30)
    raise SystemExit("an upsert was taken by a created stream")
except exceptions.InvalidArgument:
    pass
stream.close()
print("ok")
