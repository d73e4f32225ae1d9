"""Benchmarks of bucle beside asyncio and the other event loops.

Run as ``python -m benchmarks core`` (or ``sync``, ``combine``, ``memory``, ``net``). One file a
subject holds the workloads (``net`` also has ``frameworks``); the other files are the harness:
``subjects`` (their list), ``workload`` (what one is), ``loops`` (who is compared), ``sample`` (one
measurement in a fresh process), ``serving`` (a server and its load), ``programs`` (what is compiled
for that, from ``load/``), ``compare`` (the interleaved rounds), ``report`` (statistics, tables,
JSON) and ``publish`` (figures in the README and the manual).
"""
