"""`create_subprocess_exec` and `create_subprocess_shell` with native streams.

asyncio's own have them as well, after `install()`. These are asyncio's own code, too, whatever the
running version's is, which finds native names where it looks for readers and writers.
"""

from __future__ import annotations

import types
from asyncio import streams, subprocess
from typing import Any

from ._core import StreamReader, StreamWriter


def _with_names(function: Any, **names: Any) -> Any:
    """Make a function of the same code that finds other things under some global names."""
    made = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__doc__ = function.__doc__
    return made


class _Streams(types.ModuleType):
    """asyncio.streams, with native readers and writers."""

    StreamReader = StreamReader
    StreamWriter = StreamWriter

    def __getattr__(self, name: str) -> Any:
        return getattr(streams, name)


class SubprocessStreamProtocol(subprocess.SubprocessStreamProtocol):
    """asyncio's, whose readers and writers are native."""

    connection_made = _with_names(
        subprocess.SubprocessStreamProtocol.connection_made, streams=_Streams("streams")
    )


create_subprocess_exec = _with_names(
    subprocess.create_subprocess_exec, SubprocessStreamProtocol=SubprocessStreamProtocol
)
create_subprocess_shell = _with_names(
    subprocess.create_subprocess_shell, SubprocessStreamProtocol=SubprocessStreamProtocol
)
