"""The codes: stable, explained, and none twice."""

import re
from pathlib import Path

from canaryrollout.core.preflight import structure
from canaryrollout.core.preflight.catalogue import LEFT, STRUCTURE, analyzed
from canaryrollout.core.preflight.chain import KINDS

ROOT = Path(__file__).resolve().parents[3]


def test_codes_are_unique_and_say_what_to_do() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))
    assert [kind.code for kind in KINDS if not kind.what or not kind.fix or kind.fix.endswith(".")] == []


def test_every_code_has_a_runbook_entry_and_a_row_of_the_reference() -> None:
    reasons = (ROOT / "docs" / "runbooks" / "reasons.md").read_text()
    page = (ROOT / "docs" / "reference" / "preflight.md").read_text()
    codes = {kind.code for kind in KINDS} | set(STRUCTURE)
    assert {code for code in codes if f"### {code}\n" not in reasons} == set()
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_the_codes_of_the_structure_are_those_of_its_checks() -> None:
    named = set(re.findall(r'Problem\(\s*"(\w+)"', Path(structure.__file__).read_text()))
    assert named - set(STRUCTURE) == set()


def test_a_code_of_analyze_is_looked_for_or_left_not_both() -> None:
    assert set(analyzed()) & set(LEFT) == set()
