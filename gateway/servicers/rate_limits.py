"""The global rate limits: Envoy asks before it passes a call on (envoy.service.ratelimit.v3)."""

from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

from gateway.application.rate_limits import RateLimits
from gateway.domain.allowance import Usage
from mesh.errors import MeshError, StatusCode
from mesh.rpc.pipeline import Context
from mesh.shared_state.rate_limits import DOMAIN


class RateLimitServicer:
    """Answers Envoy whether a call is within its limits."""

    def __init__(self, limits: RateLimits) -> None:
        """Serves with the use case that counts calls."""
        self._limits = limits

    async def ShouldRateLimit(
        self, request: RateLimitRequest, context: Context
    ) -> RateLimitResponse:
        if request.domain != DOMAIN:
            raise MeshError("unknown domain", StatusCode.INVALID_ARGUMENT, "LIMIT_DOMAIN_UNKNOWN")
        descriptors = [
            [(entry.key, entry.value) for entry in descriptor.entries]
            for descriptor in request.descriptors
        ]
        answer = RateLimitResponse(overall_code=RateLimitResponse.OK)
        for usage in await self._limits.count(descriptors, request.hits_addend or 1):
            if usage is None:
                answer.statuses.add(code=RateLimitResponse.OK)
            else:
                _add_status(answer, usage)
        return answer


def _add_status(answer: RateLimitResponse, usage: Usage) -> None:
    status = answer.statuses.add(
        code=RateLimitResponse.OVER_LIMIT if usage.is_over else RateLimitResponse.OK,
        current_limit=RateLimitResponse.RateLimit(
            requests_per_unit=usage.limit, unit=RateLimitResponse.RateLimit.MINUTE
        ),
        limit_remaining=usage.remaining,
    )
    status.duration_until_reset.FromMilliseconds(usage.resets_in_ms)
    if usage.is_over:
        answer.overall_code = RateLimitResponse.OVER_LIMIT
        wait = str(usage.retry_seconds)
        answer.response_headers_to_add.append(HeaderValue(key="retry-after", value=wait))
