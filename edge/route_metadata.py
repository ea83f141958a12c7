"""Keys of a route's metadata: what the rate limits and local replies must know about the route."""

NAMESPACE = "mediq"
RATE_CLASS = "rate_class"
"""Key of the method's rate class, here and in the rate limit's descriptors."""
RETRY_AFTER = "retry_after"
"""Key of the seconds to wait after a 429."""
ALLOW = "allow"
"""Key of the verbs that a path takes, for the header Allow of a 405."""
