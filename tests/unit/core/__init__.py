"""Handle, Future, Task, contexts and bookkeeping: the room `src/core`."""
