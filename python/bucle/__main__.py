"""`python -m bucle`: run an unchanged program on the native core, or tell what is native.

The program finds what it would find under plain `python`: its own `__main__` module, sys.argv,
sys.path[0], exit status and tracebacks that begin in its own code. asyncio is native before its
first line runs.
"""

from __future__ import annotations

import io
import os
import pkgutil
import runpy
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import bucle

if TYPE_CHECKING:
    from types import TracebackType

_USAGE = """\
usage: python -m bucle [--as-uvloop] SCRIPT [ARGUMENT ...]
       python -m bucle [--as-uvloop] -m MODULE [ARGUMENT ...]
       python -m bucle info [--json]

Run a Python program with asyncio's core native.

  --as-uvloop  also answer `import uvloop` with bucle
  --version    print bucle's version
  info         print versions, libuv, what is native and the result of the self-test
"""


def _usage_error(message: str) -> NoReturn:
    sys.stderr.write(f"{_USAGE}\npython -m bucle: {message}\n")
    raise SystemExit(2)


def _hide_our_frames() -> None:
    """Let the traceback that is about to be printed begin in the program.

    Called only when the program has failed, around whatever excepthook it left; the exception
    itself goes its way, so that the interpreter chooses the exit status, or the signal.
    """
    hook = sys.excepthook
    runners = {__file__, vars(runpy)["_run_code"].__code__.co_filename}

    def print_without_them(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        rest = trace
        while rest is not None and rest.tb_frame.f_code.co_filename in runners:
            rest = rest.tb_next
        # A failure of our own, without one frame of the program, is shown whole.
        shown = rest if rest is not None or isinstance(error, SyntaxError) else trace
        error.__traceback__ = shown
        hook(kind, error, shown)

    sys.excepthook = print_without_them


def _fresh_main(**attributes: object) -> ModuleType:
    """Put an empty `__main__` in the place of this file's, as the interpreter makes it."""
    ours = vars(sys.modules["__main__"])
    module = ModuleType("__main__")
    vars(module).update(__builtins__=__builtins__, **attributes)
    # Names that come and go with the versions; this file's module has those of its version.
    if "__annotations__" in ours:
        vars(module)["__annotations__"] = {}
    if "__cached__" in ours:
        vars(module)["__cached__"] = None
    sys.modules["__main__"] = module
    return module


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv = [name, *arguments]
    _fresh_main()
    # The interpreter's own way of `python -m`, with its messages for what cannot be found.
    vars(runpy)["_run_module_as_main"](name)


def _run_script(name: str, arguments: list[str]) -> None:
    sys.argv = [name, *arguments]
    # The interpreter joins and does not normalise; tracebacks and `__file__` show the result.
    path = os.path.join(os.getcwd(), name)
    # What is first on the path is the working directory, which `python -m` put there.
    if not sys.flags.safe_path:
        del sys.path[0]
    if pkgutil.get_importer(path) is not None:
        _run_container(path)
        return
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        message = f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        sys.stderr.write(f"{sys.executable}: {message}\n")
        raise SystemExit(2) from None
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    main = _fresh_main(__file__=path, __loader__=SourceFileLoader("__main__", path))
    exec(compile(source, path, "exec", dont_inherit=True), vars(main))


def _run_container(path: str) -> None:
    """Run the `__main__` of a directory or a zip file, which is on the path in every mode."""
    sys.path.insert(0, path)
    _fresh_main()
    vars(runpy)["_run_module_as_main"]("__main__", alter_argv=False)


def _run_program(arguments: list[str]) -> None:
    name, *rest = arguments
    if name == "-m":
        if not rest:
            _usage_error("-m needs the name of a module")
        _run_module(rest[0], rest[1:])
    else:
        _run_script(name, rest)


def main(arguments: list[str]) -> None:
    """Do what the command line asks for."""
    as_uvloop = arguments[:1] == ["--as-uvloop"]
    if as_uvloop:
        del arguments[0]
    first = arguments[0] if arguments else None
    if first is None:
        _usage_error("nothing to run")
    if first in ("-h", "--help"):
        sys.stdout.write(_USAGE)
    elif first == "--version":
        sys.stdout.write(f"bucle {bucle.__version__}\n")
    elif first == "info":
        from . import _info

        if arguments[1:] not in ([], ["--json"]):
            _usage_error("info takes --json and nothing else")
        _info.show(as_json="--json" in arguments)
    elif first.startswith("-") and first != "-m":
        _usage_error(f"unknown option {first}")
    else:
        if as_uvloop:
            from . import as_uvloop as uvloop_names

            uvloop_names.activate()
        bucle.install()
        try:
            _run_program(arguments)
        except SystemExit:
            raise
        except BaseException:
            _hide_our_frames()
            raise


if __name__ == "__main__":
    main(sys.argv[1:])
