"""What a look at a configuration finds: for people, with a stable code, a place and a remedy."""

from dataclasses import dataclass
from enum import StrEnum

from canaryrollout.core.snapshot import Problem


class Severity(StrEnum):
    """What a finding means for a rollout."""

    ERROR = "error"
    """Nothing starts and no step is taken while it stands."""
    WARNING = "warning"
    """The rollout goes on, and may harm requests or mislead its own judgement."""
    INFO = "info"
    """Worth knowing; nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of preflight.

    `code` is a CamelCase reason and never changes its meaning. `message` says what is the matter, `fix` what to change (an
    imperative without a full stop). `subject` is the object, as "Kind/NAMESPACE/NAME", `path` the place in it, such as
    "spec.http[1].route[0]"; "" where the finding is about no object, or the whole of it.
    """

    code: str
    severity: Severity
    message: str
    fix: str = ""
    subject: str = ""
    path: str = ""

    @property
    def problem(self) -> Problem:
        """What is wrong and what to do, for places that show the object by themselves."""
        return Problem(self.code, f"{self.message}: {self.fix}" if self.fix else self.message)

    @property
    def placed(self) -> Problem:
        """The same with the object and the path, as conditions and Events say it."""
        where = ", ".join(part for part in (self.subject, self.path) if part)
        return Problem(self.code, f"{where}: {self.problem.message}" if where else self.problem.message)
