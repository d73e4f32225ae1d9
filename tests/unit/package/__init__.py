"""Tests of python/bucle, each against stock asyncio as the control where that makes sense."""
