"""The HTTP session under prometheus-api-client, hardened against servers that stall, lie or flood.

What the library leaves open and where it is closed here:
- its time-out is per socket read, so that a trickling answer never ends: a Call can be cut from another thread;
- it retries and obeys Retry-After for hours: the adapter is mounted after construction (its own mount shadows earlier ones)
  and never retries;
- it follows redirects, and hands its headers to the target: any redirect is an error;
- POST leaves the query in the URL: moved to the body;
- it drops warnings and result types and quotes whole bodies in exceptions: `_admit` judges a response before it sees one;
- the environment's netrc replaces credentials, its proxies reroute queries: neither is read.

Importing requests takes a third of a second: import this module where a client is made, not at the top.
"""

import json
import socket
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from canaryrollout.metrics import errors
from canaryrollout.metrics.endpoint import PrometheusEndpoint

ERROR_TYPES = frozenset({"timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found", "not_acceptable"})
"""Prometheus's own error types (web/api/v1); anything else in that field is not repeated."""


class Call:
    """One query under way, in the thread that runs it; `cut` may be called from any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def watch(self, handle: socket.socket) -> None:
        """This socket carries the query now. Raises when the call was cut before."""
        with self._lock:
            if self._is_cut:
                raise requests.exceptions.Timeout
            self._socket = handle

    def done(self) -> None:
        """The socket may go on to serve another call, which a late cut must not hit."""
        with self._lock:
            self._socket = None

    def cut(self) -> None:
        """Make every read and write of this call end at once."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    self._socket = None  # closed already


class _Current(threading.local):
    call: Call | None = None


_current = _Current()


class _Connection(HTTPConnection):
    """Tells the current call its socket. The twin survives TLS, which takes the descriptor over."""

    _twin: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        created = super()._new_conn()
        self._twin = created.dup()
        self._tell()
        return created

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._tell()
        super().request(*args, **kwargs)

    def close(self) -> None:
        super().close()
        if self._twin is not None:
            self._twin.close()
            self._twin = None

    def _tell(self) -> None:
        if self._twin is not None and _current.call is not None:
            _current.call.watch(self._twin)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """No retries, and connections that can be cut."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class _BearerFile(AuthBase):
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {_secret(self._path)}"
        return request


class _BasicFile(AuthBase):
    def __init__(self, user: str, path: Path) -> None:
        self._user = user
        self._path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        HTTPBasicAuth(self._user, _secret(self._path))(request)
        return request


class Session(requests.Session):
    """What prometheus-api-client talks through. Raises errors.PrometheusError for every answer that is not a clean result."""

    def __init__(self, endpoint: PrometheusEndpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.trust_env = False
        self.max_redirects = 0
        self.stream = True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.verify = str(endpoint.ca_file) if endpoint.ca_file else True
        if endpoint.client_cert_file and endpoint.client_key_file:
            self.cert = (str(endpoint.client_cert_file), str(endpoint.client_key_file))
        if endpoint.bearer_token_file:
            self.auth = _BearerFile(endpoint.bearer_token_file)
        elif endpoint.basic_auth:
            self.auth = _BasicFile(*endpoint.basic_auth)
        # A compressed answer could unpack to any size.
        self.headers["Accept-Encoding"] = "identity"
        self.hooks["response"].append(self._admit)

    def mount_last(self) -> None:
        """Take the URL over from the adapter that PrometheusConnect has mounted."""
        connections = self._endpoint.concurrency
        adapter = _Adapter(max_retries=urllib3.Retry(0), pool_connections=1, pool_maxsize=connections)
        self.adapters.clear()
        self.mount(self._endpoint.url, adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As requests', but a POST carries its parameters in the body."""
        if method == "POST":
            kwargs["data"] = kwargs.pop("params", None)
        return super().request(method, url, *args, **kwargs)

    def run(self, call: Call, ask: Any) -> Any:
        """Run `ask()` in this thread as `call`; translates what requests and the file system raise."""
        _current.call = call
        try:
            return ask()
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            raise errors.timed_out(self._endpoint.timeout) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise errors.unreachable(_cause(error)) from None
        finally:
            _current.call = None
            call.done()

    def _admit(self, response: requests.Response, *_args: Any, **_kwargs: Any) -> None:
        try:
            judge(response.status_code, self._body(response))
        except BaseException:
            response.close()
            raise

    def _body(self, response: requests.Response) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise errors.invalid("it is compressed although that was not asked for")
        most = self._endpoint.max_body
        body: bytes = response.raw.read(most + 1)
        if len(body) > most:
            raise errors.invalid(f"it is longer than {most} bytes")
        response._content = body  # or .content would read the finished stream again
        return body


def judge(status: int, body: bytes) -> None:
    """Raise PrometheusError unless this is a complete, successful answer of Prometheus's query API."""
    if 300 <= status < 400:
        raise errors.PrometheusError("PrometheusRefused", f"Prometheus answered with a redirect (HTTP {status}), which is not followed")
    try:
        answer = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        if status != 200:
            raise errors.refused(status) from None
        raise errors.invalid("it is not JSON") from None
    if not isinstance(answer, dict):
        raise errors.invalid("it is not a JSON object")
    if status != 200 or answer.get("status") != "success":
        kind = answer.get("errorType")
        raise errors.refused(status, kind if isinstance(kind, str) and kind in ERROR_TYPES else "")
    if answer.get("warnings"):
        raise errors.partial("it comes with warnings")
    if answer.get("isPartial"):
        raise errors.partial("it is marked as partial")
    data = answer.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise errors.invalid("it has no result")


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _secret(path: Path) -> str:
    text = path.read_text(encoding="ascii").strip()
    if not text or not text.isprintable():
        raise errors.unreachable(f"{path.name} holds no usable credential")
    return text


def _cause(error: BaseException) -> str:
    """The innermost reason, from the operating system or from our own files; requests' texts carry URLs."""
    seen: BaseException | None = error
    depth = 0
    while seen is not None and depth < 10:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {seen.verify_message}"
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed: {seen.reason}"
        if isinstance(seen, socket.gaierror):
            return "its name does not resolve"
        if isinstance(seen, OSError) and seen.errno and seen.strerror:
            return seen.strerror if seen.filename is None else f"{Path(str(seen.filename)).name}: {seen.strerror}"
        if type(seen) is OSError:
            return "a file of its TLS settings is missing"  # requests says so without an errno
        inner = [arg for arg in (*seen.args, getattr(seen, "reason", None)) if isinstance(arg, BaseException)]
        seen = inner[0] if inner else seen.__cause__ or seen.__context__
        depth += 1
    return type(error).__name__
