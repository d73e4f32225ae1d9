"""Locks, events, queues and the like: the room `src/sync`."""
