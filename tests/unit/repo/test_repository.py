"""What must hold for the repository as a whole."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from canaryrollout.api import reference
from canaryrollout.api.status import Phase
from canaryrollout.core import events

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "operator" / "canaryrollout"

# Put together from parts, so that this file may be searched as well.
FORBIDDEN = [
    "/" + "work/",
    "/" + "tmp/lm",
    "/" + "root/",
    "../" + "shared",
    "pypi" + ".org",
    "python" + "hosted",
    "proxy." + "golang.org",
    "sum." + "golang.org",
]


def files() -> list[Path]:
    """Every file that is, or could be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_source_root_does_not_shadow_the_standard_library() -> None:
    subprocess.run([sys.executable, "-S", "-c", "import operator; operator.add"], cwd=ROOT, check=True)
    assert [path.name for path in (ROOT / "operator").iterdir() if path.name != "__pycache__"] == ["canaryrollout"]


def test_nothing_names_a_machine_s_folders_or_a_package_registry() -> None:
    found = []
    for path in files():
        text = path.read_bytes().decode(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN if word in text]
    assert found == []


def test_no_merge_was_left_half_done() -> None:
    marker = re.compile(r"^(<{7} |>{7} )", re.MULTILINE)
    assert [str(path.relative_to(ROOT)) for path in files() if marker.search(path.read_bytes().decode(errors="replace"))] == []


def test_files_of_the_operator_stay_readable() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}


# Documentation


def markdown() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def test_links_between_pages_resolve() -> None:
    broken = []
    for page in markdown():
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if not target.startswith(("http://", "https://", "mailto:")) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)#\s:]+)", page.read_text()):
            found = (page.parent / target).resolve()
            waiting.append(found / "README.md" if found.is_dir() else found)
    pages = {path for path in markdown() if path.is_relative_to(ROOT / "docs")}
    assert {str(page.relative_to(ROOT)) for page in pages - reached} == {"docs/README.md"} & {
        str(p.relative_to(ROOT)) for p in pages - reached
    }


def test_the_api_reference_is_that_of_the_models() -> None:
    assert (ROOT / reference.PAGE).read_text() == reference.page(), "run `make crds`"


def test_the_other_generated_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "generate.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make crds`\n{done.stdout}{done.stderr}"


def test_every_phase_is_explained() -> None:
    text = (ROOT / "docs" / "explanation" / "phases.md").read_text()
    assert [phase.value for phase in Phase if f"| `{phase.value}` |" not in text] == []


def reasons() -> Iterator[str]:
    """The reasons that the program gives to problems, waits and rollbacks, read off its source."""
    position = {"Problem": 0, "Finding": 0, "Kind": 0, "Wait": 0, "PrometheusError": 0, "_because": 1, "back": 1, "held": 1}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            index = position.get(name)
            if index is not None and len(node.args) > index and isinstance(node.args[index], ast.Constant):
                yield str(node.args[index].value)  # type: ignore[attr-defined]


def test_every_reason_has_a_runbook_entry() -> None:
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbooks" / "reasons.md").read_text(), re.MULTILINE))
    found = set(reasons())
    assert {"ServiceNotFound", "CollectingEvidence", "PrometheusTimeout", "CanaryWithoutEndpoints"} <= found
    assert found - headings == set()


def test_every_event_is_listed() -> None:
    told = [reason for reason, _ in events._TOLD.values()] + list(events._WARNED.values())
    told += re.findall(r'EmitEvent\("(\w+)"', Path(events.__file__).read_text())
    text = (ROOT / "docs" / "reference" / "events.md").read_text()
    assert [reason for reason in told if f"`{reason}`" not in text] == []


# Commands and dependencies


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_commands_of_the_documentation_exist() -> None:
    used = set()
    for page in markdown():
        code = "\n".join(re.findall(r"```sh\n(.*?)```|`(make [a-z-]+)`", page.read_text(), re.DOTALL) and _code(page.read_text()))
        used |= set(re.findall(r"\bmake ([a-z-]+)", code))
    assert {"demo", "test", "lint", "bench", "mesh"} <= used
    assert used <= make_targets()


def _code(text: str) -> list[str]:
    return [block or inline for block, inline in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", text, re.DOTALL)]


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111
    assert run.read_text().splitlines()[-1] == "exec make test"
    assert "\nmake test " in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["constraints.txt", "deploy/requirements.txt"])
def test_every_distribution_is_pinned_with_hashes_and_without_addresses(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) > 20
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry.splitlines()[0] or "--hash=sha256:" not in entry] == []


def test_the_image_holds_what_the_tests_ran_with() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9.-]+==[^ ;]+)", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("deploy/requirements.txt") < pins("constraints.txt")


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
