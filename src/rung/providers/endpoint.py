"""Where and how one provider is reached: what every wire adapter is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from rung.answer import Usage
from rung.providers.rows import ModelRule, Row
from rung.wire.client import Origin

Price = Callable[[str, Usage], int | None]
"""(model, usage) -> pico-dollars, or None where the price is unknown"""

OnHeaders = Callable[[str, Iterable[tuple[bytes, bytes]]], None]
"""called with (model, response headers) of every answer, refused ones too: where rate limits are told"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Plain values; the key is already inside `headers`.

    `headers`: encoded ``name: value\\r\\n`` lines. `strip`: top-level request fields it rejects;
    `strip_messages`: the same inside each message. `rename`: top-level fields it knows under another name.
    `models`: what some of its models want otherwise. `price(model, usage)`: pico-dollars or None.
    """

    name: str
    origin: Origin
    base_path: str
    headers: bytes
    strip: frozenset[str] = frozenset()
    strip_messages: frozenset[str] = frozenset()
    rename: tuple[tuple[str, str], ...] = ()
    models: tuple[ModelRule, ...] = ()
    price: Price = lambda model, usage: None
    usage_in_stream: bool = True
    """it understands ``stream_options.include_usage``"""
    waits_in_blank_lines: bool = False
    """it fills the time before a whole answer with blank lines"""
    prefix_path: str = ""
    """instead of ``/v1``: where the beginning of an answer can be given (`continuation`); empty: nowhere"""
    reasoning_back: bool = False
    """while it thinks it wants the reasoning of earlier turns with tool calls back"""
    tier_untold: bool = False
    """its streams do not name the service tier that answers: the one that was asked for is charged"""
    on_headers: OnHeaders | None = None


def make_endpoint(
    row: Row,
    base_url: str,
    *,
    key: str | None,
    headers: Mapping[str, str],
    strip: Collection[str],
    rename: Mapping[str, str],
    usage_in_stream: bool,
    price: Price,
    on_headers: OnHeaders | None = None,
) -> Endpoint:
    """A row at an address, with what the user said of it. `headers` replace the row's own of the same name.

    Raises ConfigError for an address that is none.
    """
    origin, base_path = Origin.parse(base_url)
    lines = {"content-type": "application/json", **row.headers}
    if key is not None:
        name, value = row.key_line(key)
        lines[name] = value
    lines |= {name.lower(): value for name, value in headers.items()}
    return Endpoint(
        name=row.name,
        origin=origin,
        base_path=base_path,
        headers="".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1"),
        strip=frozenset(strip),
        strip_messages=frozenset(row.strip_messages),
        rename=tuple(rename.items()),
        models=row.models,
        price=price,
        usage_in_stream=usage_in_stream,
        waits_in_blank_lines=row.waits_in_blank_lines,
        prefix_path=row.prefix_path,
        tier_untold=row.tier_untold,
        reasoning_back=row.reasoning_back,
        on_headers=on_headers,
    )
