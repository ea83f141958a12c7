"""Rate limits: a shared bucket and a bucket for each client address, for every rate class."""

from __future__ import annotations

from mediq.policy.v1.policy_pb2 import RateClass

from edge.messages import Config, extension, seconds
from edge.route_metadata import NAMESPACE, RATE_CLASS
from edge.settings import Bucket, EdgeSettings, Rates

FILTER = "envoy.filters.http.local_ratelimit"


def class_name(rate: RateClass.ValueType) -> str:
    """Returns the name of a class in the configuration: READ for RATE_CLASS_READ."""
    return RateClass.Name(rate).removeprefix("RATE_CLASS_")


def _bucket(bucket: Bucket) -> Config:
    return {
        "max_tokens": bucket.tokens,
        "tokens_per_fill": bucket.refill,
        "fill_interval": seconds(bucket.interval_seconds),
    }


def _descriptors(rate: RateClass.ValueType, rates: Rates) -> list[Config]:
    entry = {"key": RATE_CLASS, "value": class_name(rate)}
    return [
        {"entries": [entry], "token_bucket": _bucket(rates.shared)},
        {
            # An entry without a value stands for every value, each with its own bucket.
            "entries": [entry, {"key": "remote_address"}],
            "token_bucket": _bucket(rates.address),
        },
    ]


def _counted_as() -> list[Config]:
    """Counts each call by its route's class, and by class and address together."""
    kind = {
        "metadata": {
            "descriptor_key": RATE_CLASS,
            "metadata_key": {"key": NAMESPACE, "path": [{"key": RATE_CLASS}]},
            "source": "ROUTE_ENTRY",
        }
    }
    return [{"actions": [kind]}, {"actions": [kind, {"remote_address": {}}]}]


def rate_filter(settings: EdgeSettings) -> Config:
    """Returns the filter with all buckets."""
    every = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return extension(
        FILTER,
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="edge_rate",
        # What no descriptor matches is an error reply and costs nothing.
        token_bucket=_bucket(Bucket(1_000_000, 1_000_000)),
        always_consume_default_token_bucket=False,
        filter_enabled=every,
        filter_enforced=every,
        rate_limits=_counted_as(),
        descriptors=[
            descriptor
            for rate, rates in sorted(settings.rates.items())
            for descriptor in _descriptors(rate, rates)
        ],
        max_dynamic_descriptors=settings.addresses_remembered,
        rate_limited_as_resource_exhausted=True,
    )
