"""Why a query has no usable answer, in words that may be shown to a tenant."""

from canaryrollout.core.snapshot import Problem


class PrometheusError(Exception):
    """A query failed. `message` is made of our own words and numbers only: a body from the other side never gets in,
    or a wrong URL in the settings would turn status fields into a window on internal services.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def problem(self) -> Problem:
        """The same as a value."""
        return Problem(self.reason, self.message)


def unreachable(cause: str) -> PrometheusError:
    """No HTTP answer at all."""
    return PrometheusError("PrometheusUnreachable", f"Prometheus cannot be reached: {cause}")


def timed_out(seconds: float) -> PrometheusError:
    """No complete answer within the deadline."""
    return PrometheusError("PrometheusTimeout", f"Prometheus did not answer completely within {seconds:g} s")


def refused(status: int, kind: str = "") -> PrometheusError:
    """An answer that is an error by its own account; `kind` is one of Prometheus's error types."""
    detail = f" ({kind})" if kind else ""
    return PrometheusError("PrometheusRefused", f"Prometheus answered with HTTP status {status}{detail}")


def invalid(what: str) -> PrometheusError:
    """An answer that breaks the protocol."""
    return PrometheusError("PrometheusInvalidAnswer", f"the answer is not what Prometheus's API promises: {what}")


def partial(what: str) -> PrometheusError:
    """An answer that does not claim to be complete."""
    return PrometheusError("PrometheusPartialAnswer", f"Prometheus says that its answer may be incomplete: {what}")
