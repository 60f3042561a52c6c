"""The engine's own process: ``python -m rung.local.engine_child``, started and watched by `rung.local.engine`.

It speaks a tiny protocol over its pipes, so that nothing secret is ever in the arguments or the environment:

- stdin, first line: ``{"model", "alias", "threads", "context", "slots", "api_key"}`` and what
  `rung.local.tuning.Tuning.told` tells, as JSON;
- stdout, one line: ``{"port": 41234}`` once the model answers on 127.0.0.1, or ``{"error": "..."}``;
- stdin, end of file: the parent is gone or done; leave at once.

llama.cpp writes its log to stderr.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from importlib import import_module
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when the thread that started it ends."""


def main() -> int:
    """Serve until stdin ends. Exit code 0 after that, 1 if the model could not be loaded."""
    announce = _take_stdout()
    _die_with_parent()
    os.putenv("GGML_NO_BACKTRACE", "1")  # an aborting llama.cpp would start gdb, which takes seconds
    told: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    watcher = threading.Thread(target=_leave_at_end_of, args=(sys.stdin.fileno(),), daemon=True)
    watcher.start()
    try:
        server = _serve(told)
    except ImportError as error:
        return _fail(announce, f"the engine is not installed ({error}); install rung with its [local] extra")
    except Exception as error:
        return _fail(announce, f"llama.cpp could not load the model: {error}")
    port = int(server.listening_address.rsplit(":", 1)[1])
    announce.write(json.dumps({"port": port}).encode() + b"\n")
    announce.flush()
    watcher.join()
    return 0


def _take_stdout() -> BinaryIO:
    """Keep the pipe for ourselves: whatever prints to stdout from here on lands in the log."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return pipe


def _die_with_parent() -> None:
    """Have Linux kill us if the parent dies, even while loading holds the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides


def _leave_at_end_of(descriptor: int) -> None:
    """Read past `sys.stdin`, whose lock would abort the interpreter's own shutdown."""
    while os.read(descriptor, 4096):
        pass
    os._exit(0)  # unloading takes seconds and frees nothing the kernel would not


def _serve(told: dict[str, Any]) -> Any:
    """Start llama.cpp's server inside this process; returns when the model is loaded."""
    # here and not above: it is an extra, 100 MB, and its absence must be told through the pipe
    xllamacpp: Any = import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = told["model"]
    params.model_alias = {told["alias"]}  # or every answer names a path of this machine
    params.n_ctx = told["context"] * told["slots"]
    params.n_parallel = told["slots"]
    params.cpuparams.n_threads = told["threads"]
    params.cpuparams_batch.n_threads = told["threads"]
    params.n_batch = params.n_ubatch = told["batch"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [told["api_key"]]  # it always opens a port: without a key anyone here could use it
    params.use_jinja = True
    params.cache_prompt = True
    params.cache_ram_mib = told["kept_prompts_mib"]  # its default may take 8 GiB beyond what the fit check allowed
    params.no_extra_bufts = not told["repack"]
    # on a CPU it only costs: a prompt of 2,000 tokens is read a third slower with it (135M, one thread)
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if told["heads"]:
        params.slot_save_path = told["heads"].rstrip("/") + "/"
    if told["drafts"]:
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
        drafts = params.speculative.ngram_simple
        drafts.size_n, drafts.size_m = told["drafts"]
    params.fit_params = False  # rung.local.fit has decided already; never shrink the context silently
    params.offline = True
    params.ui = False
    return xllamacpp.Server(params)


def _fail(announce: BinaryIO, message: str) -> int:
    announce.write(json.dumps({"error": message}).encode() + b"\n")
    announce.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main())
