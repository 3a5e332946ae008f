"""What the API server's refusals become. The bodies are those of kube-apiserver 1.36."""

import json

import pytest
from canaryrollout.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    KindMissing,
    NotFound,
    PreconditionFailed,
    Unavailable,
    api_error,
)

GENERIC = "the server rejected our request due to an error in our request"


def status(reason: str = "", message: str = "", **details: object) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "reason": reason, "message": message, "details": details}).encode()


@pytest.mark.parametrize(
    ("code", "body", "json_patch", "expected"),
    [
        (404, status("NotFound", 'pods "a" not found', name="a", kind="pods"), False, NotFound),
        (404, b"404 page not found\n", False, KindMissing),
        (409, status("Conflict", "the object has been modified", name="a"), False, Conflict),
        (409, status("AlreadyExists", 'pods "a" already exists', name="a"), False, AlreadyExists),
        (422, status("Invalid", GENERIC), True, PreconditionFailed),
        (422, status("Invalid", "weight must be positive", name="a", causes=[{"field": "spec"}]), True, Invalid),
        (422, status("Invalid", '"" is invalid: patch', causes=[{"field": "patch"}]), True, Invalid),
        (422, status("Invalid", "weight must be positive", name="a"), False, Invalid),
        (401, status("Unauthorized", "Unauthorized"), False, Forbidden),
        (403, status("Forbidden", "pods is forbidden"), False, Forbidden),
        (429, status("TooManyRequests", "slow down"), False, Unavailable),
        (500, status("InternalError", "etcdserver: leader changed"), False, Unavailable),
        (504, b"upstream timeout", False, Unavailable),
        (400, status("BadRequest", "no"), False, ApiError),
    ],
)
def test_refusals_are_told_apart(code: int, body: bytes, json_patch: bool, expected: type[ApiError]) -> None:
    error = api_error(code, body, {}, json_patch=json_patch)
    assert type(error) is expected
    assert error.status == code


def test_a_patch_that_does_not_fit_says_so() -> None:
    assert "no longer fits" in api_error(422, status("Invalid", GENERIC), {}, json_patch=True).message


def test_bodies_that_are_no_status_never_get_into_messages() -> None:
    for body in (b"token=secret", b'{"kind":"Secret","message":"secret"}', b'["secret"]'):
        assert "secret" not in str(api_error(500, body, {}, json_patch=False))


def test_the_servers_wish_to_wait_is_bounded() -> None:
    def wait(header: str) -> float | None:
        error = api_error(429, b"", {"Retry-After": header}, json_patch=False)
        assert isinstance(error, Unavailable)
        return error.retry_after

    assert wait("3") == 3.0
    assert wait("86400") == 60.0
    assert wait("Wed, 21 Oct 2026 07:28:00 GMT") is None
