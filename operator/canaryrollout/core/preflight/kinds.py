"""The kinds of findings: what a code means, how grave it is, what to do, and what `istioctl analyze` calls it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.view import View

_LONGEST = 200
"""Characters of an error that are told."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding. `what` and `fix` are rows of the reference; `fix` is also the remedy of a finding that has no better one."""

    code: str
    severity: Severity
    what: str
    fix: str
    analyze: tuple[str, ...] = ()
    """Codes of `istioctl analyze` for the same; not always for the same cases."""

    def found(self, message: str, subject: str, path: str = "", *, fix: str = "", severity: Severity | None = None) -> Finding:
        """One finding of this kind. `severity` where the case is milder, or graver, than usual."""
        return Finding(self.code, severity or self.severity, message, fix or self.fix, subject, path)


@dataclass(frozen=True, slots=True)
class Check:
    """One look. Without what it `needs` it is left out; of what it `wants`, a part is enough to find something.

    Both name kinds of surroundings that were read, and "Pod" for the pods of the Service.
    """

    look: Callable[[View], Iterable[Finding]]
    kinds: tuple[Kind, ...]
    needs: tuple[str, ...] = field(default=())
    wants: tuple[str, ...] = field(default=())


FAILED = Kind(
    "CheckFailed",
    Severity.WARNING,
    "a check could not read the objects, because one of them has a shape that its API does not allow (an older object, perhaps): what the "
    "check looks for is not known. An error where the structure could not be read",
    "correct the object's shape (kubectl apply --dry-run=server on it says where); if it has none to correct, report the message",
)
"""Of no check of its own: what the chain says in place of one that raised."""


def failed(look: Callable[..., object], error: Exception) -> str:
    """What to say of a check that raised, without anything of the objects but the error's own words."""
    return f"check {look.__name__} failed ({type(error).__name__}: {str(error)[:_LONGEST]})"
