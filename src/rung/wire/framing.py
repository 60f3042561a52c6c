"""What the head of a response says of its body (RFC 9112 §6.3). llhttp refuses most nonsense before."""

from __future__ import annotations

from rung.errors import BadAnswerFault

_LENGTH, _TRANSFER, _ENCODING = b"content-length", b"transfer-encoding", b"content-encoding"


def framing(headers: list[tuple[bytes, bytes]], label: str) -> tuple[int, bool, str]:
    """-> (its length in bytes or -1, does it go on until the connection ends, its coding or an empty text).

    Raises BadAnswerFault for conflicting lengths.
    """
    fields = dict(headers)
    length, transfer, encoding = fields.get(_LENGTH), fields.get(_TRANSFER), fields.get(_ENCODING)
    lengths = 1
    if len(fields) == len(headers):
        if length is not None and transfer is None and encoding is None:  # as most have it
            return int(length), False, ""
    else:
        lengths = sum(name == _LENGTH for name, _ in headers)
        encoding = b",".join([value for name, value in headers if name == _ENCODING])
    if lengths > 1 or (length is not None and transfer is not None):
        raise BadAnswerFault(f"{label} sent conflicting lengths", code="bad_framing")
    until_eof = length is None and (transfer is None or not transfer.lower().endswith(b"chunked"))
    coding = encoding.strip().lower().decode("latin-1") if encoding else ""
    return -1 if length is None else int(length), until_eof, "" if coding == "identity" else coding


def uncoded(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a body that has been decoded."""
    return [header for header in headers if header[0] not in (_ENCODING, _LENGTH)]
