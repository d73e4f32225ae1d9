"""`eager_task_factory`, where asyncio has one (3.12+): tasks that start at once, and are native.

asyncio's own factory is bound to asyncio's Task, so on its own it would keep making stock tasks.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ._core import Task

# None where the interpreter has no eager tasks.
eager_task_factory: Any = None
if hasattr(asyncio, "create_eager_task_factory"):
    eager_task_factory = asyncio.create_eager_task_factory(Task)
