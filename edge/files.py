"""The files of the configuration: the bootstrap document, and the secrets beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from edge.bootstrap import render_bootstrap
from edge.clusters.sds import secret_documents
from edge.messages import Config
from edge.settings import EdgeSettings

BOOTSTRAP = "envoy.yaml"
"""Name of the document that Envoy starts with."""
_HEADER = """\
# Generated from the contracts by `make gen` (edge). Do not edit; see docs/reference/edge.md.
"""


class _Dumper(yaml.SafeDumper):
    """Writes every value in full: the same value in two places is no alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Writes a text of several lines as such."""
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(document: Config) -> str:
    """Returns a document as text; equal documents give equal texts."""
    return _HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


def render_files(settings: EdgeSettings) -> dict[str, str]:
    """Renders every file of the configuration, by name.

    Raises:
        KeyError: A server has no address, or a rate class no limits.
        ValueError: A contract cannot be routed.
    """
    documents = {BOOTSTRAP: render_bootstrap(settings), **secret_documents(settings)}
    return {name: to_yaml(document) for name, document in documents.items()}


def write_files(settings: EdgeSettings, file: Path) -> None:
    """Writes the configuration that one Envoy starts with: the document, its secrets beside it.

    Args:
        settings: What differs between installations; `secrets_folder` becomes the file's folder.
        file: The bootstrap document to write.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = render_files(replace(settings, secrets_folder=str(file.parent)))
    bootstrap_text = texts.pop(BOOTSTRAP)
    for name, text in texts.items():
        (file.parent / name).write_text(text, encoding="utf-8")
    file.write_text(bootstrap_text, encoding="utf-8")
