"""Starts bqemulator, also where DuckDB's extension for GEOGRAPHY cannot be fetched: nothing here has such a column.

Usage: bqemulator_server.py REST_PORT GRPC_PORT PROJECT
"""

import sys

from bqemulator.cli import main
from bqemulator.domain.errors import InternalError
from bqemulator.storage.engine import DuckDBEngine

load_spatial = DuckDBEngine._load_spatial


def load_spatial_where_it_is(self):
    try:
        load_spatial(self)
    except InternalError as error:
        print(f"without GEOGRAPHY: {error}", file=sys.stderr)


DuckDBEngine._load_spatial = load_spatial_where_it_is
rest, grpc, project = sys.argv[1:]
main(["start", "--rest-port", rest, "--grpc-port", grpc, "--project", project, "--log-level", "warning"])
