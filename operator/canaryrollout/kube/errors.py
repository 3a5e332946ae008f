"""What the API server can answer instead of what was asked, as exceptions that callers tell apart by type.

Messages are the server's own `Status.message`, cut; bodies of requests and of answers that are no Status never get into
them (they may hold tokens).
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_MESSAGE_LIMIT = 1000


class ApiError(Exception):
    """The API server refused a request. `status` is the HTTP code (0: no answer), `reason` the Status' reason ("" if none)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(status, reason, message)
        self.status = status
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.reason or self.status})"


class NotFound(ApiError):
    """404: the object (or, on creation, its namespace) does not exist."""


class KindMissing(ApiError):
    """404: the API server does not serve this resource type; its CRD is not installed."""


class Conflict(ApiError):
    """409: the resourceVersion or uid that was asked for is not the object's present one; read again."""


class AlreadyExists(Conflict):
    """409 on creation: an object of that name is there already."""


class PreconditionFailed(ApiError):
    """422 of a JSON Patch: a `test` did not hold, or a path of it is gone; read again."""


class Invalid(ApiError):
    """422: the object itself is refused by its schema or an admission rule; repeating it does not help."""


class Forbidden(ApiError):
    """401 or 403: the operator may not do this."""


class Unavailable(ApiError):
    """No answer in time, no connection, 429 or 5xx: the outcome of a write is unknown. `retry_after` is in seconds."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(status, reason, message)
        self.retry_after = retry_after


def api_error(status: int, body: bytes, headers: Mapping[str, str], *, json_patch: bool) -> ApiError:
    """The exception for an answer with a status code outside 2xx."""
    answer = _status(body)
    reason = str(answer.get("reason") or "")
    message = str(answer.get("message") or _phrase(status))[:_MESSAGE_LIMIT]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}:
        return Unavailable(status, reason, message, _retry_after(headers))
    error = _class_of(status, reason, json_patch, answer.get("details") or {})
    if error is PreconditionFailed:
        message = "the patch no longer fits the object: a test failed or a path is gone"
    return error(status, reason, message)


def _class_of(status: int, reason: str, json_patch: bool, details: Mapping[str, Any]) -> type[ApiError]:
    match status:
        case HTTPStatus.NOT_FOUND:
            # An unserved type answers with plain text or a Status without a name.
            return NotFound if details.get("name") else KindMissing
        case HTTPStatus.CONFLICT:
            return AlreadyExists if reason == "AlreadyExists" else Conflict
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            # A patch that cannot be applied is refused without details; a refused result says what is wrong with it.
            return PreconditionFailed if json_patch and not details else Invalid
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Forbidden
        case _:
            return ApiError


def _status(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return min(max(float(headers.get("Retry-After", "")), 0.0), 60.0)
    except ValueError:
        return None
