"""The command line: ``python -m benchmarks SUBJECT [--loops A,B] [--rounds N] [--json FILE]``.

It prints one Markdown report to standard output; progress goes to standard error.
``python -m benchmarks publish`` writes the results that are kept into the README and the manual.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import publish
from benchmarks.compare import MALLOC, compare
from benchmarks.loops import DEFAULT, PAIRS
from benchmarks.report import document, markdown
from benchmarks.subjects import SUBJECTS


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subject", choices=[*SUBJECTS, "publish"])
    parser.add_argument("--loops", help="comma-separated; asyncio is always measured")
    parser.add_argument("--only", help="comma-separated workloads")
    parser.add_argument("--rounds", type=int, default=9, help="samples a cell (default 9)")
    parser.add_argument("--seconds", type=float, help="per sample (default 0.2; of net 0.5)")
    parser.add_argument(
        "--malloc",
        choices=[*MALLOC],
        default="plain",
        help="plain, used (one connection has ended), tuned (glibc keeps large blocks)",
    )
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument("--absolute", action="store_true", help="also microseconds a loop")
    parser.add_argument(
        "--pairs",
        action="store_true",
        help="mixed pairs: tasks or names of one on the other's loop",
    )
    return parser.parse_args()


def main() -> None:
    """Compare and report."""
    options = arguments()
    if options.subject == "publish":
        publish.main()
        return
    subject = SUBJECTS[options.subject]
    usual = PAIRS if options.pairs else [*DEFAULT, *subject.limits]
    names = options.loops.split(",") if options.loops else usual
    shown = [name for name, workload in subject.items() if workload.pairs or not options.pairs]
    workloads = options.only.split(",") if options.only else shown or list(subject)
    unknown = [name for name in workloads if name not in subject]
    if unknown:
        sys.exit(f"unknown workloads: {', '.join(unknown)}; known: {', '.join(subject)}")
    run = compare(
        options.subject,
        workloads,
        names,
        rounds=options.rounds,
        seconds=subject.seconds if options.seconds is None else options.seconds,
        malloc=options.malloc,
        progress=sys.stderr,
    )
    sys.stdout.write(markdown(run, absolute=options.absolute))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document(run), indent=1) + "\n")


if __name__ == "__main__":
    main()
