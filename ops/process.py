"""A process below this one: its output is passed on line by line, and it ends for sure."""

import asyncio
import ctypes
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""
LINE_BYTES = 1 << 20


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class ManagedProcess:
    """Runs a program below this one, and never lets it outlive this one."""

    name: str
    """Stands before every line of its output."""
    command: Sequence[str]
    """Program and arguments."""
    environment: Mapping[str, str]
    """The whole environment."""
    output: Callable[[str, str], None]
    """Takes name and line."""
    process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Starts the program.

        Raises:
            FileNotFoundError: It does not exist.
        """
        self.process = await asyncio.create_subprocess_exec(
            *self.command,
            env=dict(self.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._reader = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            self.output(self.name, line.decode("utf-8", "replace").rstrip())

    @property
    def pid(self) -> int:
        """Returns the process number; 0 before the start."""
        return self.process.pid if self.process else 0

    async def wait(self) -> int:
        """Waits for the end and returns the exit status; -N when signal N ended it."""
        if self.process is None:
            return 0
        return await self.process.wait()

    async def stop(self, seconds: float) -> None:
        """Asks the program to end, and kills it when it has not ended in time."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            await self._reader
