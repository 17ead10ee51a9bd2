"""The table of faults in the documentation: every fault is there, and every test that it names."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent
TABLE = FOLDER.parents[1] / "docs" / "reliability.md"


def test_the_table_names_38_faults_and_tests_that_there_are():
    rows = re.findall(r"^\| (\d+) \|.*\| `(test_\w+\.py): (test_fault_\d\d)_…` \|$", TABLE.read_text(), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 39))
    for _, file, name in rows:
        assert f"def {name}_" in (FOLDER / file).read_text(), name
