"""The global rate limits: Envoy asks before it passes a call on (envoy.service.ratelimit.v3)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

from gateway.domain.allowance import Allowance
from mesh.errors import MeshError, StatusCode
from mesh.rpc.pipeline import Context
from mesh.shared_state.rate_limits import ADDRESS_KEY, DOMAIN, LIMIT_KEY, Count, Counters

NAMED = (LIMIT_KEY,)
ADDRESSED = (LIMIT_KEY, ADDRESS_KEY)


class RateLimitServicer:
    """Answers Envoy whether a call is within its limits."""

    def __init__(self, counters: Counters, allowances: Mapping[str, Allowance]) -> None:
        """Counts in `counters`; `allowances` are by the limit's name."""
        self._counters = counters
        self._allowances = allowances

    async def ShouldRateLimit(
        self, request: RateLimitRequest, context: Context
    ) -> RateLimitResponse:
        if request.domain != DOMAIN:
            raise MeshError("unknown domain", StatusCode.INVALID_ARGUMENT, "LIMIT_DOMAIN_UNKNOWN")
        asked = [self._key(descriptor.entries) for descriptor in request.descriptors]
        keys = [key for key in asked if key is not None]
        counts = iter(await self._counters.count(keys, request.hits_addend or 1) if keys else ())
        answer = RateLimitResponse(overall_code=RateLimitResponse.OK)
        for key in asked:
            # Neither what has no limit nor what was not counted any more is refused.
            count = None if key is None else next(counts, None)
            if key is None or count is None:
                answer.statuses.add(code=RateLimitResponse.OK)
            else:
                _fill(answer, key[1], count)
        return answer

    def _key(self, entries: Sequence[Any]) -> tuple[str, int] | None:
        """Returns the counter of a descriptor with its limit; None when it has none."""
        kinds = tuple(entry.key for entry in entries)
        allowance = self._allowances.get(entries[0].value) if entries else None
        if allowance is None or kinds not in (NAMED, ADDRESSED):
            return None
        name = ":".join(entry.value for entry in entries)
        return name, allowance.all if kinds == NAMED else allowance.address


def _fill(answer: RateLimitResponse, limit: int, count: Count) -> None:
    over = count.used > limit
    status = answer.statuses.add(
        code=RateLimitResponse.OVER_LIMIT if over else RateLimitResponse.OK,
        current_limit=RateLimitResponse.RateLimit(
            requests_per_unit=limit, unit=RateLimitResponse.RateLimit.MINUTE
        ),
        limit_remaining=max(0, limit - count.used),
    )
    status.duration_until_reset.FromMilliseconds(count.resets_in_ms)
    if over:
        answer.overall_code = RateLimitResponse.OVER_LIMIT
        wait = str(math.ceil(count.resets_in_ms / 1000))
        answer.response_headers_to_add.append(HeaderValue(key="retry-after", value=wait))
