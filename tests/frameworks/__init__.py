"""Real software on the loop: the same program under asyncio and under bucle says the same."""
