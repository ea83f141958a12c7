"""The interactive API documentation: an own page around the files of Swagger UI.

Nothing comes from another host, and no script stands in the page, so a strict
Content-Security-Policy holds.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

INITIALIZER = "initializer.js"
BUNDLED: Mapping[str, str] = MappingProxyType(
    {
        "favicon-32x32.png": "image/png",
        "swagger-ui-bundle.js": "text/javascript",
        "swagger-ui.css": "text/css",
    }
)
"""Files of Swagger UI that the page needs, with their content types. No other one is served."""


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    content_type: str
    content: bytes


@dataclass(frozen=True)
class ApiDocs:
    """Everything that the documentation page needs, in memory."""

    page: Asset
    openapi: Asset
    assets: Mapping[str, Asset]
    """What the page refers to, by name. Compressed: Swagger UI alone is larger than the body that
    the edge transcodes."""

    @classmethod
    def load(cls, openapi: bytes) -> "ApiDocs":
        """Reads the files of Swagger UI and of this package.

        Raises:
            FileNotFoundError: A file is missing in the installation.
        """
        own = files("gateway") / "static"
        bundle = files("swagger_ui") / "static"
        sources = {name: bundle / name for name in BUNDLED}
        sources[INITIALIZER] = own / INITIALIZER
        kinds = {**BUNDLED, INITIALIZER: "text/javascript"}
        assets = {
            name: Asset(kinds[name], gzip.compress(source.read_bytes(), mtime=0))
            for name, source in sources.items()
        }
        page = Asset("text/html; charset=utf-8", (own / "index.html").read_bytes())
        return cls(page, Asset("application/json", openapi), MappingProxyType(assets))
