"""An audit says what it has found, and never that all is well where it could ask nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "security/audit.py"
spec = importlib.util.spec_from_file_location("audit", SCRIPT)
assert spec is not None
assert spec.loader is not None
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.10+cpu)"}
ADVISORY = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": "…"}
FLAWED = {"name": "six", "version": "1.0", "vulns": [ADVISORY, ADVISORY | {"id": "PYSEC-2", "fix_versions": []}]}


def test_libraries_without_advisories_are_well() -> None:
    assert audit.judge({"dependencies": [CLEAN]}) == (0, ["1 libraries were audited: no known advisories."])


def test_advisories_are_told_with_what_mends_them_and_so_is_what_could_not_be_asked() -> None:
    code, lines = audit.judge({"dependencies": [CLEAN, FLAWED, UNKNOWN]})
    assert code == 1
    assert lines[:2] == ["six 1.0: PYSEC-1, mended in 1.1", "six 1.0: PYSEC-2, mended in no version yet"]
    assert lines[2] == "2 libraries were audited: 2 known advisories."
    assert lines[3].endswith("does not know this build: torch.")


def test_where_nothing_could_be_asked_nothing_is_called_well() -> None:
    code, (line,) = audit.judge({"dependencies": [UNKNOWN, UNKNOWN]})
    assert code == 2
    assert "of 2 libraries, none was found there" in line
    assert "Nothing was audited" in line


def test_an_auditor_that_fails_or_is_missing_is_one_line(tmp_path: Path) -> None:
    failing = tmp_path / "pip-audit"
    failing.write_text(f"#!{sys.executable}\nraise ConnectionError('no route to pypi.org')\n")
    failing.chmod(0o755)
    for auditor, told in (
        (failing, "could not be asked for (ConnectionError)"),
        (tmp_path / "none", "cannot be started"),
    ):
        line = [sys.executable, str(SCRIPT), str(auditor), sys.executable]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
