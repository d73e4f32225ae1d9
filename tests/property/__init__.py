"""Random schedules, with stock asyncio as the oracle."""
