"""Prints every record of every Avro file below a folder, as JSON lines. Reads with fastavro, which shares no code with Pipas."""
import datetime
import json
import pathlib
import sys

import fastavro

for file in sorted(pathlib.Path(sys.argv[1]).glob("dt=*/hr=*/*.avro")):
    with file.open("rb") as opened:
        for record in fastavro.reader(opened):
            published = record["publish_time"]
            print(json.dumps({
                "message_id": record["message_id"],
                "publish_time_type": type(published).__name__,
                "publish_time": published.astimezone(datetime.timezone.utc).isoformat(),
                "ordering_key": record["ordering_key"],
                "attributes": record["attributes"],
                "data": record["data"].decode(),
            }))
