"""A child process for tests of what is inherited."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable


def in_a_child(life: Callable[[], object]) -> asyncio.Future[int]:
    """Fork; the child lives `life` and ends. The future is its exit status: 0 when nothing was raised."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            asyncio._set_running_loop(None)
            life()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return asyncio.ensure_future(asyncio.to_thread(_status, pid))


def _status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
