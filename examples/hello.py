"""The smallest program: bucle.run is asyncio.run on the native loop."""

import asyncio

import bucle


async def greet(name: str, delay: float) -> str:
    """Greet somebody, a little later."""
    await asyncio.sleep(delay)
    return f"hello, {name}"


async def main() -> None:
    """Wait for two greetings at the same time."""
    for greeting in await asyncio.gather(greet("world", 0.02), greet("loop", 0.01)):
        print(greeting)
    kind = type(asyncio.get_running_loop())
    print(f"from {kind.__module__}.{kind.__qualname__}")


if __name__ == "__main__":
    bucle.run(main())
