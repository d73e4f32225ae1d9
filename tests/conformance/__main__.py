"""python -m tests.conformance --module bucle [--only core] [--install] [-j 2]

Two names need no module: `stdlib` is the control, `uvloop` brings a loop only.  The registry of
divergences holds for bucle; --registry names another file, or `none`.  The last line is
'N passed, N failed, N skipped', the exit status 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import registry
from .modules import SETS, select
from .parent import ModuleRun, Options
from .report import counts_line, judge, print_judgement, stale_rows


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--module", default="bucle", help="bucle, stdlib, uvloop, ...")
    parser.add_argument("--only", default="", help=f"modules and sets ({', '.join(SETS)})")
    parser.add_argument("--match", default="", help="only tests whose id contains this")
    parser.add_argument("--install", action="store_true", help="call MODULE.install() first")
    parser.add_argument("--timeout", type=float, default=30, help="seconds a test may take")
    parser.add_argument("--registry", default="", help="a file of rows, or none")
    parser.add_argument("--list", action="store_true", help="print the ids and run nothing")
    parser.add_argument("--json", default="", help="write every outcome to this file")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="modules at a time")
    parser.add_argument("-v", "--verbose", action="store_true", help="whole tracebacks")
    return parser.parse_args(arguments)


def _registry_rows(options: argparse.Namespace) -> dict[str, registry.Row]:
    wanted = options.registry or ("default" if options.module == "bucle" else "none")
    if wanted == "none":
        return {}
    path = registry.DEFAULT if wanted == "default" else Path(wanted)
    return registry.holding(path, options.install)


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    try:
        modules = select(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    rows = _registry_rows(options)
    child_options = Options(
        options.module,
        install=options.install,
        timeout=options.timeout,
        match=options.match,
        list_only=options.list,
        excluded=tuple(test for test, row in rows.items() if row.outcome == "skip"),
    )

    def run(upstream: str) -> tuple[ModuleRun, float]:
        started = time.monotonic()
        return ModuleRun(upstream, child_options).run(), time.monotonic() - started

    total: Counter[str] = Counter()
    dump: dict[str, dict[str, tuple[str, str, float]]] = {}
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for finished, seconds in pool.map(run, modules):
            upstream, outcomes = finished.upstream, finished.outcomes
            if options.list:
                print(*finished.listed, sep="\n")
                continue
            judgement = judge(upstream, outcomes, rows)
            if not options.match and not finished.absent:
                for test in stale_rows(upstream, outcomes, rows):
                    judgement.fail(test, "a row of the registry names it, but it does not exist")
            print_judgement(judgement, seconds, options.verbose)
            total += judgement.counts
            dump[upstream] = {
                test: (got.status, got.message, got.seconds) for test, got in outcomes.items()
            }
    if options.json:
        Path(options.json).write_text(json.dumps(dump, indent=0))
    if not options.list:
        print(counts_line(total))
    if not options.list and not total:
        print("nothing was run: does this interpreter have test.test_asyncio?", file=sys.stderr)
        return 2
    return 1 if total["fail"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
