"""An audit of the libraries that are installed: known advisories for each, by pip-audit, and what could not be asked.

``python security/audit.py PIP_AUDIT PYTHON``; exit code 0 where no advisory is known, 1 where one is, 2 where nothing
could be asked. pip-audit itself calls an environment of which it could ask nothing free of advisories.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

OPTIONS = ("--local", "--skip-editable", "--format", "json", "--progress-spinner", "off", "--timeout", "15")
NOT_ASKED = "error: known advisories could not be asked for ({}). Is pypi.org reachable from here? Nothing was audited."
MOST_NAMES = 10


def main(arguments: Sequence[str]) -> int:
    """Audit the environment of one Python with a pip-audit that is installed elsewhere."""
    auditor, python = arguments
    environment = {**os.environ, "PIPAPI_PYTHON_LOCATION": python}
    try:
        done = subprocess.run([auditor, *OPTIONS], env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        return tell(2, [f"error: {auditor} cannot be started: {error.strerror}. Run make audit."])
    try:
        found = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return tell(2, [NOT_ASKED.format(reason.partition(":")[0])])
    return tell(*judge(found))


def judge(found: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Exit code and lines for what pip-audit has found, in its JSON format."""
    libraries = found["dependencies"]
    asked = [library for library in libraries if "skip_reason" not in library]
    skipped = [library["name"] for library in libraries if "skip_reason" in library]
    advisories = [_line(library, advisory) for library in asked for advisory in library["vulns"]]
    if not asked:
        return 2, [NOT_ASKED.format(f"of {len(libraries)} libraries, none was found there")]
    names = ", ".join(skipped[:MOST_NAMES]) + (", …" if len(skipped) > MOST_NAMES else "")
    lines = [*advisories, f"{len(asked)} libraries were audited: {len(advisories) or 'no'} known advisories."]
    if skipped:
        lines.append(f"{len(skipped)} could not be, since the index does not know this build: {names}.")
    return (1 if advisories else 0), lines


def _line(library: Mapping[str, Any], advisory: Mapping[str, Any]) -> str:
    mended = ", ".join(advisory["fix_versions"]) or "no version yet"
    return f"{library['name']} {library['version']}: {advisory['id']}, mended in {mended}"


def tell(code: int, lines: Sequence[str]) -> int:
    """Print lines, to standard error where nothing was audited."""
    print("\n".join(lines), file=sys.stderr if code == 2 else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
