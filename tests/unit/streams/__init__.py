"""Readers, writers and their protocol: the room `src/streams`."""
