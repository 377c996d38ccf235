"""Prints the codec, the schema's fingerprint and the number of records of each Avro file named, as JSON lines. Reads with fastavro."""
import json
import sys

import fastavro
import fastavro.schema

for name in sys.argv[1:]:
    with open(name, "rb") as opened:
        reader = fastavro.reader(opened)
        canonical = fastavro.schema.to_parsing_canonical_form(reader.writer_schema)
        print(json.dumps({
            "codec": reader.codec,
            "fingerprint": fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"),
            "records": sum(1 for _ in reader),
        }))
