"""The table of many runs, for people and for machines."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from canaryrollout.api.quantities import format_ratio
from canaryrollout.simulate.many import Run
from canaryrollout.simulate.summary import Group, Share, groups, median_run, step_times
from canaryrollout.simulate.traffic import Traffic

WORDS = {"Promoted": "promoted", "RolledBack": "rolled back", "Paused": "paused", "Unfinished": "unfinished"}
"""Outcomes as people say them."""
_GAP = "   "


def headline(traffic: Traffic) -> str:
    """The traffic in words."""
    parts = [f"{traffic.rps:g} requests/s", f"scraped every {traffic.scrape_interval:g} s"]
    clumps = f" in clumps of {traffic.burst}" if traffic.burst > 1 else ""
    parts.append(f"errors of the canary {format_ratio(traffic.canary_errors)}, of stable {format_ratio(traffic.stable_errors)}{clumps}")
    if traffic.canary_slow or traffic.stable_slow:
        parts.append(f"slow answers {format_ratio(traffic.canary_slow)} and {format_ratio(traffic.stable_slow)}")
    if traffic.shared_errors:
        parts.append(f"{format_ratio(traffic.shared_errors)} more of both from {traffic.shared_after:g} s on")
    if traffic.fault_from_weight:
        parts.append(f"the canary's fault from weight {traffic.fault_from_weight} on")
    if traffic.fault_after:
        parts.append(f"the canary's fault {traffic.fault_after:g} s after its first request")
    return ", ".join(parts)


def as_json(runs: Sequence[Run]) -> dict[str, Any]:
    """What the table shows. Times in seconds, shares as fractions."""
    example = median_run(runs)
    return {
        "runs": len(runs),
        "outcomes": [
            {
                "outcome": group.outcome,
                "count": group.share.count,
                "share": group.share.share,
                "interval95": [group.share.low, group.share.high],
                "seconds": _quantiles(group.seconds),
                "secondsSinceFault": _quantiles(group.since_fault),
                "failedRequests": _quantiles(group.failed),
                "weights": {str(weight): count for weight, count in group.weights.items()},
            }
            for group in groups(runs)
        ],
        "steps": [{"weight": step.weight, "runs": step.runs, "seconds": _quantiles(step.seconds)} for step in step_times(runs)],
        "median": {"seed": example.seed, "outcome": example.outcome, "seconds": example.seconds, "explanation": example.explanation},
    }


def _quantiles(pair: tuple[float, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in zip(("p50", "p95"), pair, strict=True)}


def as_lines(runs: Sequence[Run]) -> Iterator[str]:
    """Plain text, a table of outcomes, one of steps, and the words of the median run."""
    head = ("outcome", "runs", "share (95 % interval)", "took p50", "p95", "failed p50", "p95", "canary's weight at the end")
    yield from table(head, [_row(group) for group in groups(runs)])
    steps = step_times(runs)
    if steps:
        yield ""
        rows = [(f"{s.weight} %", f"{s.runs}", *(spell_seconds(value) for value in s.seconds)) for s in steps]
        yield from table(("step passed", "runs", "took p50", "p95"), rows)
    example = median_run(runs)
    yield ""
    yield f"Median run ({WORDS[example.outcome]} after {spell_seconds(example.seconds)}): {example.explanation}"


def _row(group: Group) -> tuple[str, ...]:
    at = ", ".join(f"{weight} % ({count})" for weight, count in group.weights.items())
    took, failed = [spell_seconds(value) for value in group.seconds], [f"{value:,.0f}" for value in group.failed]
    return WORDS[group.outcome], f"{group.share.count}", _share(group.share), *took, *failed, at


def _share(share: Share) -> str:
    return f"{share.share * 100.0:.3g} % ({share.low * 100.0:.3g} to {share.high * 100.0:.3g})"


def spell_seconds(seconds: float) -> str:
    """Such as 45s, 3m05s, 1h20m."""
    if math.isnan(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    if days:
        return f"{days}d{hours:02}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns; what looks like a number to the right."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    right = [bool(rows) and all(row[column][:1].isdigit() or row[column] == "-" for row in rows) for column in range(len(head))]
    for line in (head, *rows):
        cells = (cell.rjust(width) if end else cell.ljust(width) for cell, width, end in zip(line, widths, right, strict=True))
        yield _GAP.join(cells).rstrip()
