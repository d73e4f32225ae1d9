"""Sockets and addresses: `src/net`."""
