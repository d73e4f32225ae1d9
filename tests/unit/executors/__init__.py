"""Executors and other threads: the hand-over of work and of its outcomes."""
