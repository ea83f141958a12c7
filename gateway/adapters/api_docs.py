"""Reads the interactive API documentation: an own page around the files of Swagger UI.

Nothing comes from another host, and no script stands in the page, so a strict
Content-Security-Policy holds.
"""

import gzip
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from gateway.domain.api_docs import ApiDocs, Asset

INITIALIZER = "initializer.js"
BUNDLED: Mapping[str, str] = MappingProxyType(
    {
        "favicon-32x32.png": "image/png",
        "swagger-ui-bundle.js": "text/javascript",
        "swagger-ui.css": "text/css",
    }
)
"""Files of Swagger UI that the page needs, with their content types. No other one is served."""


def load_api_docs(openapi: bytes) -> ApiDocs:
    """Reads the files of Swagger UI and of this package.

    Args:
        openapi: The OpenAPI document.

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
    return ApiDocs(page, Asset("application/json", openapi), MappingProxyType(assets))
