"""Run by test_private_namespace inside an empty network namespace: every way a private call could leave.

Prints one JSON object per call: what was asked, who answered, or which error.
"""

import asyncio
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

from rung import config
from rung.errors import RungError
from rung.gateway import Gateway

ASKS = [
    {"model": "auto", "text": "What is the capital of France?"},
    {"model": "local", "text": "What is the capital of France?"},
    {"model": "fast", "text": "hi"},
    {"model": "strong", "text": "hi"},
    {"model": "groq:openai/gpt-oss-20b", "text": "hi"},
    {"model": "elsewhere:small", "text": "hi"},
    {"model": "auto", "mode": "cloud", "text": "hi"},
    {"model": "auto", "mode": "strong", "text": "hi"},
    {"model": "auto", "task": "extraction", "text": "hi"},
    {"model": "auto", "text": 'Format this JSON: {"a":1}'},
    {
        "model": "auto",
        "text": "look",
        "parts": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
    },
    {
        "model": "auto",
        "text": "Validate this JSON against the schema.",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"$ref": "https://example.com/schema.json"}},
        },
    },
]


def loopback_up():
    """What ``ip link set lo up`` does (netdevice(7)): a new namespace starts with it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(sock.fileno(), 0x8914, request)  # SIOCSIFFLAGS


async def main(home: Path) -> None:
    settings = await asyncio.to_thread(config.load, os.environ, home / "rung.toml", cwd=home)
    async with Gateway(settings) as gateway:
        for told in ASKS:
            options = dict(told)
            text, parts = options.pop("text"), options.pop("parts", None)
            content = [{"type": "text", "text": text}, *parts] if parts else text
            messages = [{"role": "user", "content": content}]
            for stream in (False, True):
                said = {"ask": told, "stream": stream}
                try:
                    if stream:
                        pieces = gateway.stream(messages, private=True, max_tokens=6, **dict(options))
                        said["text"] = "".join([piece async for piece in pieces])
                        said["rung"] = pieces.rung
                    else:
                        result = await gateway.chat(messages, private=True, max_tokens=6, **dict(options))
                        said |= {"rung": result.rung, "text": result.text}
                except RungError as error:
                    said |= {"error": error.code, "message": error.message}
                print(json.dumps(said), flush=True)


if __name__ == "__main__":
    loopback_up()
    asyncio.run(main(Path(sys.argv[1])))
