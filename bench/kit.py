"""What the kit costs: python -m bench.kit [--strict].

A call through all stages (mTLS peer, token, policy, validation, deadline, trace) is compared with
a bare grpc.aio echo on the same transport. The client is Python too and takes the other core, so
calls a second of the server's own processor time are compared: what one core can serve.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc
import psutil
import uvloop
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role

from bench.table import Row, show
from mesh import data_dir
from mesh.identity.tls import channel_credentials
from mesh.identity.tokens import TokenSigner

ROUNDS = 6
ROUND_SECONDS = 2.0
CONCURRENCY = 32
PORTS = {"bare": 18701, "kit": 18702}


@dataclass
class Target:
    """A server under load."""

    process: subprocess.Popen[bytes]
    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...]

    async def rate(self) -> float:
        """Calls a second of the server's processor time, over one round."""
        stub = InstitutionServiceStub(self.channel)
        request = requests.UpdateInstitutionRequest(id=str(uuid4()), name="RSUD Contoh")
        watched = psutil.Process(self.process.pid)
        ends, calls = time.monotonic() + ROUND_SECONDS, 0
        before = sum(watched.cpu_times()[:2])

        async def caller() -> None:
            nonlocal calls
            while time.monotonic() < ends:
                await stub.UpdateInstitution(request, metadata=self.metadata)
                calls += 1

        await asyncio.gather(*(caller() for _ in range(CONCURRENCY)))
        return calls / (sum(watched.cpu_times()[:2]) - before)


async def measure(folder: Path) -> list[Row]:
    """Alternates rounds against both servers."""
    environment = {**os.environ, "MEDIQ_HOME": str(folder), "MEDIQ_LOG_LEVEL": "WARNING"}
    token, _ = TokenSigner(folder / "keys").sign(
        str(uuid4()), lifetime_seconds=600, session_id="bench", role=Role.ROLE_ADMIN_FASKES
    )
    credentials = channel_credentials(folder / "tls", "edge")
    options = [("grpc.ssl_target_name_override", "institution-svc")]
    targets: dict[str, Target] = {}
    try:
        for kind, port in PORTS.items():
            command = [sys.executable, "-m", "bench.servers", kind, str(port)]
            process = subprocess.Popen(command, env=environment)
            channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)
            targets[kind] = Target(process, channel, (("authorization", f"Bearer {token}"),))
            async with asyncio.timeout(20):
                await channel.channel_ready()
            await targets[kind].rate()
        rates: dict[str, list[float]] = {"bare": [], "kit": []}
        for _ in range(ROUNDS):
            for kind, target in targets.items():
                rates[kind].append(await target.rate())
    finally:
        for target in targets.values():
            await target.channel.close()
            target.process.terminate()
            target.process.wait()
    bare, kit = (statistics.median(rates[kind]) for kind in ("bare", "kit"))
    ratios = [mine / base for mine, base in zip(rates["kit"], rates["bare"], strict=True)]
    note = f"{kit:.0f} against {bare:.0f} calls per CPU second"
    cost = (1 / kit - 1 / bare) * 1e6
    return [
        Row("kit call / bare grpc.aio echo", statistics.median(ratios) * 100, "%", 60, True, note),
        Row("added by all stages", cost, "us", 150, False),
    ]


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir.prepare(Path(folder))
        rows = uvloop.run(measure(Path(folder)))
    show(rows, strict="--strict" in sys.argv)


if __name__ == "__main__":
    main()
