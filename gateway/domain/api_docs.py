"""The interactive API documentation as it is served."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """Holds a file as it is served."""

    content_type: str
    content: bytes


@dataclass(frozen=True)
class ApiDocs:
    """Holds everything that the documentation page needs, in memory."""

    page: Asset
    openapi: Asset
    assets: Mapping[str, Asset]
    """What the page refers to, by name. Compressed: Swagger UI alone is larger than the body that
    the edge transcodes."""
