"""Everything that can go wrong, as one tree.

    RungError                         carries what the client is told: status, code, type, param
    ├── InvalidRequestError     400   the call itself is wrong (bad JSON, wrong type, empty messages)
    │   └── RequestTooLargeError 413  body over the limit
    ├── AuthenticationError     401   the caller's key for this gateway is missing or wrong
    ├── ForbiddenError          403   refused by a rule (browser origin, host, ...)
    │   └── PrivacyError        403   a private call would have had to leave this machine
    ├── ModelNotFoundError      404   no rung or provider answers to that model name
    ├── OverloadedError         503   a queue of ours is full
    ├── TrafficError            400   recorded traffic that cannot be read
    ├── DeadlineError           504   the call's own deadline passed
    ├── ConfigError             500   configuration is wrong; nothing was started or changed
    ├── StoreError              500   a database of ours cannot be used (never fails a call)
    ├── ModelFileError          500   a model file is missing, truncated, corrupted or does not fit
    ├── LadderExhausted         503   every rung declined or failed; carries every reason
    └── Fault                   502   one rung failed at one attempt; the climb goes on
        ├── ConnectFault        502   no connection: refused, DNS, TLS
        ├── TimeoutFault        504   connect, first byte, between chunks or total deadline
        ├── RateLimitFault      429   the provider's limit; `retry_after` in seconds if it said so
        ├── CredentialFault     502   the provider refused our key, or our credit is gone
        ├── MissingModelFault   404   the provider does not know the model (retired?)
        ├── RejectedFault       4xx   the provider refused this call (400, 413, 422): another model may take it
        ├── ServerFault         502   the provider answered 5xx
        ├── BadAnswerFault      502   an answer that is no answer: cut, empty, not JSON, no finish reason
        └── EngineFault         502   the local engine crashed or is not there

A fault is an exception inside one attempt. `LadderExhausted` is raised when none is left.
The wire shape is OpenAI's: ``{"error": {"message", "type", "param", "code"}}``
(https://platform.openai.com/docs/guides/error-codes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class RungError(Exception):
    """Root of the tree. `message` says what to do; the other fields are for programs.

    Attributes:
        message: one sentence for a person, without secrets or prompt text.
        status: the HTTP status a door answers with.
        code: a stable machine-readable word, e.g. ``model_not_found``.
        type: OpenAI's error type, e.g. ``invalid_request_error``.
        param: path of the offending field (``messages[0].role``), if there is one.
    """

    status: int = 500
    code: str = "internal_error"
    type: str = "api_error"
    allow: str = ""
    challenge: str = ""
    """of a 405: the methods there are (RFC 9110 §15.5.6)"""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's shape, ready for JSON."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class InvalidRequestError(RungError):
    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class RequestTooLargeError(InvalidRequestError):
    status = 413
    code = "request_too_large"


class AuthenticationError(RungError):
    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class ForbiddenError(RungError):
    status = 403
    code = "forbidden"
    type = "permission_error"


class PrivacyError(ForbiddenError):
    code = "private_call_cannot_leave"


class ModelNotFoundError(RungError):
    status = 404
    code = "model_not_found"
    type = "invalid_request_error"


class OverloadedError(RungError):
    status = 503
    code = "overloaded"
    type = "overloaded_error"


class TrafficError(RungError):
    status = 400
    code = "bad_traffic"
    type = "invalid_request_error"


class DeadlineError(RungError):
    status = 504
    code = "deadline_exceeded"
    type = "timeout_error"


class ConfigError(RungError):
    """Configuration that cannot be used. `problems` holds one line each, with file and line."""

    code = "bad_configuration"

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class StoreError(RungError):
    code = "store_unavailable"


class ModelFileError(RungError):
    code = "model_file"


class Fault(RungError):
    """One attempt failed. `retryable`: the same rung may be asked again; else only the next one.

    Attributes:
        provider: who failed, e.g. ``groq``; empty if it was us.
        retry_after: seconds the provider asked us to wait, or None.
    """

    status = 502
    code = "upstream_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, status=status)
        self.provider = provider
        self.retry_after = retry_after


class ConnectFault(Fault):
    code = "connect_failed"
    retryable = True


class TimeoutFault(Fault):
    """`code` names which deadline passed: connect_timeout, first_byte_timeout, idle_timeout, total_timeout."""

    status = 504
    code = "upstream_timeout"
    type = "timeout_error"


class RateLimitFault(Fault):
    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    retryable = True


class CredentialFault(Fault):
    code = "provider_credentials"


class MissingModelFault(Fault):
    status = 404
    code = "model_not_found"
    type = "invalid_request_error"


class RejectedFault(Fault):
    status = 400
    code = "rejected_by_provider"
    type = "invalid_request_error"


class ServerFault(Fault):
    code = "provider_server_error"
    retryable = True


class BadAnswerFault(Fault):
    code = "bad_answer"


class EngineFault(Fault):
    code = "local_engine"


class LadderExhausted(RungError):
    """No rung answered. `reasons` holds (rung, reason) of every attempt, in order; `faults` the exceptions."""

    status = 503
    code = "ladder_exhausted"

    def __init__(
        self,
        message: str,
        *,
        reasons: Sequence[tuple[str, str]] = (),
        faults: Sequence[RungError] = (),
        code: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.reasons = tuple(reasons)
        self.faults = tuple(faults)

    def body(self) -> dict[str, Any]:
        told = super().body()
        told["error"]["attempts"] = [{"rung": rung, "reason": reason} for rung, reason in self.reasons]
        return told
