"""A CanaryRollout as people ask about it, read off the object tolerantly: the operator may be older or newer than this program."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from canaryrollout.cli.exits import Exit
from canaryrollout.cli.screen import Line

Raw = Mapping[str, Any]

_STYLES = {"Stable": "green", "RolledBack": "bold red", "RollingBack": "red", "Paused": "yellow", "Restoring": "red", "Pending": "yellow"}
_OUTCOMES = {"Promoted": "green", "RolledBack": "red"}
HISTORY_SHOWN = 5


@dataclass(frozen=True, slots=True)
class View:
    """One object; missing fields read as empty."""

    raw: Raw

    @property
    def status(self) -> Raw:
        """Its status."""
        return self.raw.get("status") or {}

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.raw["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def version(self) -> str:
        """The desired version."""
        return str((self.raw.get("spec") or {}).get("version", ""))

    @property
    def stable(self) -> str:
        """The version that serves, or to which a rollback returns."""
        return str(self.status.get("stableVersion") or "")

    @property
    def phase(self) -> str:
        """The phase; Pending before the operator's first visit."""
        return str(self.status.get("phase") or "Pending")

    @property
    def style(self) -> str:
        """How a terminal shows the phase."""
        return _STYLES.get(self.phase, "cyan")

    @property
    def step(self) -> str:
        """Such as "2/5"; "" where no step is under way."""
        return str(self.status.get("step") or "") if self.under_way else ""

    @property
    def weight(self) -> int:
        """Percent intended for the version on trial."""
        return int(self.status.get("weight") or 0)

    @property
    def under_way(self) -> bool:
        """Whether a rollout has begun and not ended."""
        return self.phase not in ("Pending", "Adopting", "Stable", "RolledBack")

    @property
    def rollout(self) -> Raw:
        """The rollout under way, or the one that was rolled back."""
        return self.status.get("rollout") or {}

    def condition(self, kind: str) -> Raw:
        """A condition; empty where there is none."""
        return next((c for c in self.status.get("conditions") or [] if c.get("type") == kind), {})

    @property
    def seen(self) -> bool:
        """Whether the operator has looked at the object as it is now."""
        return int(self.status.get("observedGeneration") or 0) >= int(self.raw["metadata"].get("generation") or 0)

    @property
    def explanation(self) -> str:
        """Why it is as it is, in one sentence: that of the condition Ready."""
        if not self.status.get("conditions"):
            return "the operator has not looked at it yet"
        said = str(self.condition("Ready").get("message") or self.status.get("message") or "")
        return said if self.seen else f"{said} (the operator has not seen the last change yet)"

    @property
    def proxies(self) -> str:
        """Such as "3 of 3"; "" where none have been asked."""
        found = self.status.get("proxies") or {}
        return f"{found.get('synced', 0)} of {found.get('total', 0)}" if found else ""

    @property
    def age(self) -> str:
        """Since its creation."""
        created = _time(self.raw["metadata"].get("creationTimestamp"))
        return "" if created is None else spell((datetime.now(UTC) - created).total_seconds())

    @property
    def outcome(self) -> Exit | None:
        """How the rollout to the desired version has ended; None while it has not."""
        if not self.seen:
            return None
        if self.phase == "Stable":
            held = (self.raw.get("spec") or {}).get("paused") and self.version != self.stable
            return Exit.OK if self.version == self.stable else Exit.PAUSED if held else None
        return {"RolledBack": Exit.ROLLED_BACK, "Paused": Exit.PAUSED}.get(self.phase)


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def spell(seconds: float) -> str:
    """As kubectl spells an age: the two largest units, or one."""
    whole = max(0, int(seconds))
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f"{rest}{smaller}" if rest and whole < 10 * size else "")
    return f"{whole}s"


def as_data(view: View) -> dict[str, Any]:
    """The shape that docs/reference/cli.md promises: fields are added, never changed."""
    analysis, proxies = view.condition("Analysis"), view.status.get("proxies")
    return {
        "namespace": view.namespace,
        "name": view.name,
        "phase": view.phase,
        "outcome": view.outcome.name if view.outcome is not None else None,
        "ready": view.condition("Ready").get("status", "Unknown"),
        "reason": view.condition("Ready").get("reason"),
        "explanation": view.explanation,
        "version": view.version,
        "stable": view.stable or None,
        "step": view.step or None,
        "weight": view.weight,
        "proxies": None if proxies is None else {k: proxies.get(k, d) for k, d in (("total", 0), ("synced", 0), ("lagging", []))},
        "analysis": {key: analysis[key] for key in ("status", "reason", "message")} if analysis else None,
        "forecast": view.rollout.get("forecast") or None,
        "notices": list(view.rollout.get("notices") or []),
        "history": list(view.status.get("history") or []),
    }


def lines(view: View) -> Iterator[Line]:
    """All of it, for people."""
    yield Line(f"CanaryRollout {view.namespace}/{view.name}: {view.phase}", f"bold {view.style}")
    yield _field("why", view.explanation)
    yield _field("version", _versions(view))
    if view.step:
        yield _field("step", f"{view.step}, {view.weight} % intended")
    if view.proxies:
        yield _field("proxies", f"{view.proxies} acknowledged")
    for proxy in (view.status.get("proxies") or {}).get("lagging") or []:
        yield _field("", str(proxy), "yellow")
    if view.under_way:
        yield from _outlook(view)
    yield from _history(view)


def _outlook(view: View) -> Iterator[Line]:
    """What a rollout under way rests on."""
    analysis = view.condition("Analysis")
    if analysis and str(analysis.get("message")) not in view.explanation:
        yield _field("analysis", f"{analysis.get('reason')}: {analysis.get('message')}")
    if view.rollout.get("forecast"):
        yield _field("forecast", str(view.rollout["forecast"]))
    for notice in view.rollout.get("notices") or []:
        yield _field("notice", f"{notice.get('reason')}: {notice.get('message')}", "yellow")


def _field(name: str, text: str, style: str = "") -> Line:
    return Line(f"  {name:<9} {text}", style, 12)


def _versions(view: View) -> str:
    if not view.stable:
        return f"{view.version} desired; the one that serves now is not known yet"
    if view.version == view.stable and not view.under_way:
        return f"{view.version} serves all traffic"
    trial = str(view.rollout.get("version") or "")
    if view.under_way and trial and trial != view.version:
        return f"{view.version} desired, {trial} on trial, {view.stable} stable"
    return f"{view.version} {'on trial' if view.under_way else 'desired'}, {view.stable} stable"


def _history(view: View) -> Iterator[Line]:
    entries = list(view.status.get("history") or [])
    if entries:
        yield Line("History", "bold")
    for entry in entries[:HISTORY_SHOWN]:
        ended, began = _time(entry.get("endedAt")), _time(entry.get("startedAt"))
        when = f"{ended:%Y-%m-%d %H:%M:%S}Z" if ended is not None else ""
        took = f" after {spell((ended - began).total_seconds())}" if ended is not None and began is not None else ""
        outcome = str(entry.get("outcome", ""))
        yield Line(f"  {when}  {entry.get('stable')} to {entry.get('version')}: {outcome}{took}", _OUTCOMES.get(outcome, "yellow"), 4)
        yield Line(f"    {entry.get('message', '')}", "", 4)
    if len(entries) > HISTORY_SHOWN:
        yield Line(f"  and {len(entries) - HISTORY_SHOWN} more (-o json)", "dim")
