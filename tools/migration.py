"""Writes a migration of a service from its models.

Usage: python -m tools.migration SERVICE "what changed"
"""

import shutil
import sys
import tempfile
from pathlib import Path

from alembic import command

from mesh.persistence.migrations import config_for

TEMPLATE = Path(__file__).parent / "script.py.mako"


def main() -> None:
    """Compares the models with a database made by the existing migrations."""
    service, message = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        config = config_for(service, f"sqlite:///{Path(folder) / 'empty.db'}")
        command.upgrade(config, "head")
        template = Path(service) / "migrations" / TEMPLATE.name
        shutil.copy(TEMPLATE, template)
        try:
            command.revision(config, message, autogenerate=True)
        finally:
            template.unlink()


if __name__ == "__main__":
    main()
