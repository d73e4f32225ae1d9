"""Fixtures shared by all rooms: `impl`, `loop`, `world` and `api`, over stock asyncio and bucle.

`--impl stock` runs the control only, which needs no built extension; `--impl native` leaves out
what is stock alone, for runs that look for faults in native code and not for wrong expectations.
"""

from __future__ import annotations

import gc
import inspect
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests import support

if TYPE_CHECKING:
    from collections.abc import Iterator


# BUCLE_EXAMPLES=large asks for the large counts; without it an everyday run stays short.
settings.register_profile("everyday", max_examples=30)
settings.register_profile("large", max_examples=500)
settings.load_profile("large" if os.environ.get("BUCLE_EXAMPLES") == "large" else "everyday")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--impl",
        choices=("all", "stock", "bucle", "native"),
        default="all",
        help="implementations to run the shared tests on",
    )


def pytest_configure() -> None:
    # A shell starts what runs in its background with SIGINT ignored, which children inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = metafunc.config.getoption("--impl")
    names = ["stock", "bucle"] if wanted in ("all", "native") else [wanted]
    if metafunc.definition.get_closest_marker("native"):
        names = [name for name in names if name == "bucle"]
    if "impl" in metafunc.fixturenames:
        alone = ["bucle"] if wanted == "native" else names
        metafunc.parametrize("impl", alone, indirect=True)
    if "world" in metafunc.fixturenames:
        pairs = [(types, loop) for types in names for loop in names]
        pairs = [pair for pair in pairs if wanted != "native" or "bucle" in pair]
        ids = [f"{types}_types-{loop}_loop" for types, loop in pairs]
        metafunc.parametrize("world", pairs, indirect=True, ids=ids)


def is_of_stock_types(item: pytest.Item) -> bool:
    """Whether a test is of asyncio's own types, in whichever world."""
    given = getattr(item, "callspec", None)
    params = given.params if given else {}
    return params.get("impl", params.get("lib", params.get("world", ["stock"])[0])) == "stock"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="asyncio does it so since 3.11.7")
    for item in items:
        early = support.BEFORE_MENDED and item.get_closest_marker("mended_in_3_11_7")
        if early and is_of_stock_types(item):
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    # Every world is followed by two collections: they need not look at pytest's own objects.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine function on its net, or as a task of its world."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    driver: Any = given["net"] if "net" in given else given["world"]
    driver.run(test(**given))
    return True


@pytest.fixture
def impl(request: pytest.FixtureRequest) -> support.Implementation:
    """Stock asyncio, then bucle."""
    return support.implementation(request.param)


@pytest.fixture
def loop(impl: support.Implementation) -> Iterator[Any]:
    """A loop of the implementation, closed at the end."""
    made = impl.new_loop()
    yield made
    made.close()
    support.collect()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[support.World]:
    """Types of either kind on a loop of either kind: four worlds."""
    types, loop = request.param
    with support.world(types, loop) as made:
        yield made


@pytest.fixture
def api(world: support.World) -> Any:
    """The locks, queues and functions that go with the world's tasks."""
    return world.api
