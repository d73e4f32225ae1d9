#!/usr/bin/env python3
"""Add up the JUnit reports in build/reports, one line each, and close with the sum.

A run on several interpreters ends with the summary of the last one only; this says what all of them
together did, in one line: `N passed, N failed, N skipped`.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

REPORTS = Path(__file__).resolve().parent.parent / "build" / "reports"


def counts(report: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped tests of one report."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    if suite is None:
        return 0, 1, 0
    tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return tests - failed - skipped, failed, skipped


def main() -> int:
    total = [0, 0, 0]
    for report in sorted(REPORTS.glob("*.xml")):
        found = counts(report)
        total = [a + b for a, b in zip(total, found, strict=True)]
        print("{:>16}: {} passed, {} failed, {} skipped".format(report.stem, *found))
    print("{} passed, {} failed, {} skipped".format(*total))
    return bool(total[1]) or not total[0]


if __name__ == "__main__":
    sys.exit(main())
