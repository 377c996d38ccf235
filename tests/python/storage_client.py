"""Drives the local Cloud Storage with google-cloud-storage."""
import json
import os
import sys
import tempfile

from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

endpoints = json.loads(sys.argv[1])
client = storage.Client(
    project="pipas-local",
    credentials=AnonymousCredentials(),
    client_options=ClientOptions(api_endpoint=endpoints["storage"]),
)
bucket = client.create_bucket("bucket-1")
small = bucket.blob("folder/dt=2024-02-01/small file.txt")
small.metadata = {"k": "v"}
small.upload_from_string(b"hello", content_type="text/plain", if_generation_match=0)
try:
    bucket.blob(small.name).upload_from_string(b"other", if_generation_match=0)
    raise SystemExit("an object was made twice")
except exceptions.PreconditionFailed:
    pass
assert bucket.get_blob(small.name).metadata == {"k": "v"}
assert small.download_as_bytes() == b"hello"

# A resumable upload in chunks, with a checksum.
payload = os.urandom(20 * 1024 * 1024 + 7)
large = bucket.blob("large.bin", chunk_size=4 * 1024 * 1024)
with large.open("wb", chunk_size=4 * 1024 * 1024) as out:
    out.write(payload)
large.reload()
assert large.size == len(payload)
assert bucket.blob("large.bin").download_as_bytes(checksum="crc32c") == payload
assert bucket.blob("large.bin").download_as_bytes(start=100, end=199, checksum=None) == payload[100:200]

# Files, and whether there is one.
with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
    file.write(b'{"id": 1}\n' * 1000)
    file.flush()
    uploaded = bucket.blob("files/events.ndjson")
    assert not uploaded.exists()
    uploaded.upload_from_filename(file.name, if_generation_match=0)
    assert uploaded.exists() and uploaded.size == 10_000 and uploaded.content_type, uploaded._properties
    try:
        uploaded.upload_from_filename(file.name, if_generation_match=0)
        raise SystemExit("a file was uploaded over another")
    except exceptions.PreconditionFailed:
        pass
    with tempfile.TemporaryDirectory() as folder:
        bucket.blob(uploaded.name).download_to_filename(f"{folder}/copy")
        with open(f"{folder}/copy", "rb") as copy, open(file.name, "rb") as original:
            assert copy.read() == original.read()
chunked = bucket.blob("files/large.bin", chunk_size=1024 * 1024)
with tempfile.NamedTemporaryFile() as file:
    file.write(payload[: 3 * 1024 * 1024 + 5])
    file.flush()
    chunked.upload_from_filename(file.name)
assert bucket.get_blob(chunked.name).size == 3 * 1024 * 1024 + 5
assert not bucket.blob("files/none").exists() and bucket.exists() and not client.bucket("bucket-none").exists()
assert uploaded.exists(if_generation_match=uploaded.generation)

# What was changed in between is not deleted.
first = uploaded.generation
uploaded.upload_from_string(b"newer")
assert uploaded.generation != first
try:
    bucket.blob(uploaded.name).delete(if_generation_match=first)
    raise SystemExit("a newer object was deleted")
except exceptions.PreconditionFailed:
    pass
assert uploaded.exists()
bucket.blob(uploaded.name).delete(if_generation_match=uploaded.generation)
assert not uploaded.exists()
chunked.delete()

names = [blob.name for blob in client.list_blobs("bucket-1", prefix="folder/")]
assert names == ["folder/dt=2024-02-01/small file.txt"], names
pages = client.list_blobs("bucket-1", delimiter="/")
assert [blob.name for blob in pages] == ["large.bin"] and pages.prefixes == {"folder/"}
small.delete()
try:
    small.download_as_bytes()
    raise SystemExit("a deleted object was read")
except exceptions.NotFound:
    pass
for name in ["../escape", "a/../../b", "a//b", ".hidden"]:
    bucket.blob(name).upload_from_string(name)
    assert bucket.blob(name).download_as_text() == name
print("ok")
