"""Transports: what owns a descriptor: `src/net`."""
