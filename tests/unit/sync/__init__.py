"""Lock, Event, Condition, Semaphore, Barrier: the room `src/sync`."""
