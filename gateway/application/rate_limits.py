"""The use case that counts calls against the global rate limits."""

from collections.abc import Mapping, Sequence

from gateway.domain.allowance import Allowance, Usage
from mesh.shared_state.rate_limits import ADDRESS_KEY, LIMIT_KEY, Counters

NAMED = (LIMIT_KEY,)
ADDRESSED = (LIMIT_KEY, ADDRESS_KEY)
Descriptor = Sequence[tuple[str, str]]
"""What a call counts under: keys and values, in their order."""


class RateLimits:
    """Counts the calls of all Envoys together."""

    def __init__(self, counters: Counters, allowances: Mapping[str, Allowance]) -> None:
        """Counts in `counters`; `allowances` are by the limit's name."""
        self._counters = counters
        self._allowances = allowances

    async def count(self, descriptors: Sequence[Descriptor], hits: int) -> list[Usage | None]:
        """Counts a call under its descriptors.

        Args:
            descriptors: Each names a limit, alone or with the address of the client.
            hits: What the call weighs.

        Returns:
            What is used of the limit of each descriptor. None: it has no limit, or was not counted
            any more, because the one before it is over its limit. Neither refuses the call.
        """
        asked = [self._key(descriptor) for descriptor in descriptors]
        keys = [key for key in asked if key is not None]
        counts = iter(await self._counters.count(keys, hits) if keys else ())
        usages: list[Usage | None] = []
        for key in asked:
            count = None if key is None else next(counts, None)
            if key is None or count is None:
                usages.append(None)
            else:
                usages.append(Usage(key[1], count.used, count.resets_in_ms))
        return usages

    def _key(self, descriptor: Descriptor) -> tuple[str, int] | None:
        """Returns the counter of a descriptor with its limit; None when it has none."""
        kinds = tuple(key for key, _ in descriptor)
        allowance = self._allowances.get(descriptor[0][1]) if descriptor else None
        if allowance is None or kinds not in (NAMED, ADDRESSED):
            return None
        name = ":".join(value for _, value in descriptor)
        return name, allowance.all if kinds == NAMED else allowance.address
