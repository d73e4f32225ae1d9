"""Tests of connections, servers, datagrams, pipes, sock_* and names, on both implementations."""
