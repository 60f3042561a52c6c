"""Serve TensorZero's Rust gateway: its PyPI package has no program for it, but can start the same server in-process.

python tensorzero_serve.py CONFIG PORT_FILE
"""

import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import tensorzero

config, port_file = sys.argv[1:]
server = tensorzero._start_http_gateway(
    config_file=config, clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
Path(port_file).write_text(str(urlsplit(server.base_url).port))
signal.pause()
