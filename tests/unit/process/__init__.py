"""Subprocesses, their pipes, and signals: on stock asyncio and on bucle alike."""
