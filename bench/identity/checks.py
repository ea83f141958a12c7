"""What the checks of one call cost the processor: peer, token, policy, validation."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

from mediq.policy.v1.policy_pb2 import Peer, Scope
from mediq.user.v1.user_service_pb2 import GetProfileRequest

from bench.table import Row
from mesh.clock import utc_now
from mesh.contract.call import Call
from mesh.contract.methods import methods
from mesh.identity.revocations import FileRevocations, Revocation
from mesh.identity.tokens import TokenSigner, TokenVerifier
from mesh.rpc.pipeline import Metadata, Pipeline

PROFILE = "/mediq.user.v1.UserService/GetProfile"
TOKENS = 1_000
ROUNDS = 7
REVOKED = 1_000
"""Ended sessions that each token is compared with."""
MOST_MICROSECONDS = 150.0
Check = Callable[[Metadata], None]


def _microseconds(check: Check, shown: Iterable[Metadata]) -> float:
    began, calls = time.thread_time(), 0
    for metadata in shown:
        check(metadata)
        calls += 1
    return (time.thread_time() - began) / calls * 1e6


def measure(folder: Path) -> list[Row]:
    """Processor time of the stages in front of a profile read, less that of an empty loop.

    Args:
        folder: A prepared data folder.
    """
    signer = TokenSigner(folder / "keys")
    shown: list[Metadata] = []
    for _ in range(TOKENS):
        token, _ = signer.sign(
            str(uuid4()),
            lifetime_seconds=600,
            session_id=str(uuid4()),
            scope=Scope.SCOPE_TICKETS,
        )
        shown.append((("user-agent", "bench"), ("authorization", f"Bearer {token}")))
    revocations = FileRevocations(folder / "keys", utc_now)
    now = time.time()
    ended = [Revocation(str(uuid4()), now, now + 3600) for _ in range(REVOKED)]
    asyncio.run(revocations.publish(ended))
    method, request = methods()[PROFILE], GetProfileRequest()

    def checked(pipeline: Pipeline) -> Check:
        def check(metadata: Metadata) -> None:
            call = Call(method, Peer.PEER_EDGE, "", None)
            # The stages alone: what surrounds them in a call is measured by bench.kit.
            pipeline._admit(call, request, metadata)

        return check

    def empty(_: Metadata) -> None:
        Call(method, Peer.PEER_EDGE, "", None)

    first, again = [], []
    for _ in range(ROUNDS):
        # A new verifier has seen no token.
        check = checked(Pipeline(TokenVerifier(folder / "keys" / "jwks.json", revocations.revoked)))
        loop = _microseconds(empty, shown)
        first.append(_microseconds(check, shown) - loop)
        again.append(_microseconds(check, shown) - loop)
    note = f"{TOKENS} sessions, {REVOKED} revoked ones, less an empty loop"
    return [
        Row(name, statistics.median(found), "us", MOST_MICROSECONDS, False, note)
        for name, found in (
            ("policy and token checks, token seen before", again),
            ("policy and token checks, token seen first", first),
        )
    ]
