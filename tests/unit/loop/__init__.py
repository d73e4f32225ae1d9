"""The loop: scheduling, timers, threads, descriptors, signals, debug mode: `src/loop`."""
