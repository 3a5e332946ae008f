"""The kinds of findings: what a code means, how grave it is, what to do, and what `istioctl analyze` calls it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.view import View


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
