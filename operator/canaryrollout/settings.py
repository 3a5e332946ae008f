"""What the operator is started with: flags of the command line before environment variables before defaults.

Every setting has one name in three spellings: `prometheus.url` in the program, `--prometheus-url` on the command line and
`CANARYROLLOUT_PROMETHEUS_URL` in the environment. `load` takes the first two together.
"""

import re
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from canaryrollout.api.quantities import Duration, format_duration

ENVIRONMENT_PREFIX = "CANARYROLLOUT_"
DEFAULT_NAMESPACE = "canaryrollout-system"
_OWN_PARAMETERS = frozenset({"query", "time", "start", "end", "step", "timeout"})


class SettingsError(ValueError):
    """Settings that cannot be meant; each line names the flag and what is wrong with it."""


def _split_list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_pairs(value: object, names: str) -> object:
    """{"Name": "value"} of "Name=value" strings, given one by one or separated by commas."""
    if isinstance(value, Mapping):
        return value
    pairs = {}
    for part in _split_list(value) or ():  # type: ignore[attr-defined]
        name, equals, content = part.partition("=")
        if not equals or not re.fullmatch(names, name):
            raise ValueError(f"{name!r} is not of the form NAME=VALUE")
        pairs[name] = content
    return pairs


def _split_headers(value: object) -> object:
    return _split_pairs(value, r"[A-Za-z0-9-]+")


def _split_parameters(value: object) -> object:
    pairs = _split_pairs(value, r"[A-Za-z0-9_.\[\]-]+")
    taken = sorted(_OWN_PARAMETERS & set(pairs)) if isinstance(pairs, Mapping) else []
    if taken:
        raise ValueError(f"{', '.join(taken)}: the operator sets this itself")
    return pairs


def _is_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user name or password: use --prometheus-basic-auth-user or --prometheus-bearer-token-file")
    if parts.query or parts.fragment:
        raise ValueError("must not carry a query or a fragment")
    return value.rstrip("/")


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[Duration, Field(gt=0)]


class Group(BaseModel):
    """Immutable settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LeaseSettings(Group):
    """Leader election by a Lease: one operator works, the others stand by."""

    name: Name = Field(default="canaryrollout-operator", description="Name of the Lease.")
    namespace: Name = Field(default="", description="Namespace of the Lease; the operator's own by default.")
    duration: Seconds = Field(default=15.0, description="How long a leader that does not renew keeps the Lease.")
    renew_deadline: Seconds = Field(
        default=10.0, description="A leader that could not renew for so long gives up; shorter than the duration."
    )
    retry_period: Seconds = Field(
        default=2.0, description="Time between attempts to take or renew the Lease; shorter than the deadline, best by several times."
    )


class PrometheusSettings(Group):
    """Where requests are counted."""

    url: Annotated[str, AfterValidator(_is_base_url)] = Field(description="Base URL of Prometheus or of what answers like it. Required.")
    bearer_token_file: Path | None = Field(default=None, description="File with a bearer token, read anew for each request.")
    ca_file: Path | None = Field(default=None, description="PEM file of the certificate authorities to trust instead of the system's.")
    basic_auth_user: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]*$", max_length=253)] = Field(
        default="", description="User name of basic authentication, its password in the file of the next setting."
    )
    basic_auth_password_file: Path | None = Field(
        default=None, description="File with the password of basic authentication, read anew for each request."
    )
    client_cert_file: Path | None = Field(
        default=None, description="PEM file of a client certificate, its key in the file of the next setting."
    )
    client_key_file: Path | None = Field(default=None, description="PEM file of the client certificate's key.")
    headers: Annotated[dict[str, str], BeforeValidator(_split_headers)] = Field(
        default_factory=dict, repr=False, description="Headers to send, as NAME=VALUE, such as X-Scope-OrgID=team."
    )
    parameters: Annotated[dict[str, str], BeforeValidator(_split_parameters)] = Field(
        default_factory=dict, repr=False, description="Parameters to send with each query, as NAME=VALUE, such as dedup=true for Thanos."
    )
    timeout: Seconds = Field(default=10.0, description="Total time that one query may take.")
    scrape_interval: Seconds = Field(default=15.0, description="How often Prometheus scrapes the proxies; decides what counts as fresh.")
    poll_interval: Seconds = Field(default=5.0, description="How often a rollout under analysis is looked at.")


class MetricsSettings(Group):
    """Metrics besides Istio's own."""

    templates_file: Path | None = Field(default=None, description="YAML file of the templates of custom metrics, read at the start.")
    allow_custom_queries: bool = Field(
        default=False,
        description="Let CanaryRollouts bring PromQL of their own. Whoever may write one may then read everything in Prometheus.",
    )


class IstioSettings(Group):
    """Where istiod is and how to ask it."""

    root_namespace: Name = Field(default="istio-system", description="Istio's root namespace, in which istiod runs.")
    istiod_selector: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        default="app=istiod", description="Label selector of the istiod pods, of all revisions."
    )
    debug_port: Port = Field(default=15014, description="Port of istiod's debug endpoints.")
    proxy_admin_port: Port = Field(
        default=15000, description="Port of the proxies' admin interface, on their localhost (proxyAdminPort); for spec.sync.verify: envoy."
    )
    reader_service_account: Name = Field(
        default="canaryrollout-mesh-reader",
        description="ServiceAccount without rights in the root namespace for which the operator requests tokens to ask istiod.",
    )


class ServerSettings(Group):
    """The operator's own HTTP endpoints."""

    address: str = Field(default="0.0.0.0", description="Address to listen on.")  # noqa: S104 - the kubelet and Prometheus call
    health_port: Port = Field(default=8081, description="Port of /healthz and /readyz; 0 takes any free one.")
    metrics_port: Port = Field(default=8082, description="Port of /metrics; 0 takes any free one.")


class LogSettings(Group):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe level that is logged.")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json for machines, console for people, auto: console on a terminal, else json."
    )


class Settings(Group):
    """All settings of the operator."""

    namespace: Name = Field(default=DEFAULT_NAMESPACE, description="The operator's own namespace; POD_NAMESPACE by default.")
    watch_namespaces: Annotated[tuple[Name, ...], BeforeValidator(_split_list)] = Field(
        default=(), description="Namespaces whose CanaryRollouts are served; all when empty."
    )
    proxy_namespaces: Annotated[tuple[Name, ...], BeforeValidator(_split_list)] = Field(
        default=(), description="With watched namespaces: further ones with callers or gateways, whose pods and Istio objects may be read."
    )
    identity: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="Name of this process in the Lease; POD_NAME by default, else one of its own."
    )
    leader_election: bool = Field(default=True, description="Wait for the Lease before working.")
    takeover_managers: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], BeforeValidator(_split_list)] = Field(
        default=(),
        description="Field managers, such as kubectl-edit: a change of weights or subsets by one of them means that people have taken the "
        "routing over, and the operator leaves it alone until somebody resumes.",
    )
    cluster_domain: Name = Field(default="cluster.local", description="The cluster's DNS domain.")
    resync_interval: Seconds = Field(default=300.0, description="How often every CanaryRollout is looked at although nothing happened.")
    lease: LeaseSettings
    prometheus: PrometheusSettings
    metrics: MetricsSettings
    istio: IstioSettings
    server: ServerSettings
    log: LogSettings

    @property
    def namespaces_with_proxies(self) -> tuple[str, ...]:
        """Where the pods of proxies may be read; empty: everywhere."""
        return tuple(dict.fromkeys((*self.watch_namespaces, *self.proxy_namespaces))) if self.watch_namespaces else ()


class Option(BaseModel):
    """One setting as the command line, the environment and the reference name it."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Underscored, such as prometheus_url: the key that `load` takes."""
    default: Any = None
    description: str = ""

    @property
    def flag(self) -> str:
        """Such as --prometheus-url."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Such as CANARYROLLOUT_PROMETHEUS_URL."""
        return ENVIRONMENT_PREFIX + self.name.upper()


def options() -> Iterator[Option]:
    """Every setting, in the order of the models."""
    for name, _, field in _fields():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield Option(name=name, default=default, description=field.description or "")


def load(flags: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """The settings of `flags` (keys such as prometheus_url; None or an empty list: not given) before those of `environment`.

    Raises SettingsError, which never repeats a value: values may be secret.
    """
    unknown = flags.keys() - {option.name for option in options()}
    if unknown:
        raise SettingsError(f"unknown settings: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {name: {} for name, field in Settings.model_fields.items() if _group(field.annotation)}
    values |= {"identity": _identity(environment)}
    if pod_namespace := environment.get("POD_NAMESPACE"):
        values["namespace"] = pod_namespace
    for name, path, _ in _fields():
        given = flags.get(name)
        value = environment.get(ENVIRONMENT_PREFIX + name.upper()) or None if given is None or given in ([], ()) else given
        if value is not None:
            (values[path[0]] if len(path) > 1 else values)[path[-1]] = value
    values["lease"].setdefault("namespace", values.get("namespace", DEFAULT_NAMESPACE))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(error))) from None
    _check_lease(settings.lease)
    _check_authentication(settings.prometheus)
    return settings


def _check_lease(lease: LeaseSettings) -> None:
    def shorter(name: str, time: float, than: str, limit: float, otherwise: str) -> None:
        if time >= limit:
            times = f"{format_duration(time)} and {format_duration(limit)}"
            raise SettingsError(f"--lease-{name} must be shorter than --lease-{than}, or {otherwise}: they are {times}")

    shorter("renew-deadline", lease.renew_deadline, "duration", lease.duration, "two operators could lead at once")
    shorter("retry-period", lease.retry_period, "renew-deadline", lease.renew_deadline, "a leader gives up where it could still renew")


def _check_authentication(prometheus: PrometheusSettings) -> None:
    if bool(prometheus.basic_auth_user) != (prometheus.basic_auth_password_file is not None):
        raise SettingsError("--prometheus-basic-auth-user and --prometheus-basic-auth-password-file belong together")
    if prometheus.basic_auth_user and prometheus.bearer_token_file is not None:
        raise SettingsError("--prometheus-bearer-token-file and --prometheus-basic-auth-user: give one of the two")


def _explained(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False):
        path = [part for part in item["loc"] if isinstance(part, str)]
        message = "is required" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
        yield f"--{'-'.join(path).replace('_', '-')}: {message}"


def _identity(environment: Mapping[str, str]) -> str:
    # A pod's name is unique, and a container that starts again in the pod follows one that is gone: it may take its own
    # Lease back at once. Outside a pod nothing tells two processes of one host apart.
    return environment.get("POD_NAME") or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


def _group(annotation: object) -> type[Group] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Group) else None


def _fields() -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """(prometheus_url, (prometheus, url), its FieldInfo) of every setting."""
    for name, field in Settings.model_fields.items():
        group = _group(field.annotation)
        if group is None:
            yield name, (name,), field
            continue
        for inner, inner_field in group.model_fields.items():
            yield f"{name}_{inner}", (name, inner), inner_field
