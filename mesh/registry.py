"""The services that are installed beside the kit, each with what operations need to know of it.

A service registers by an entry point of the group mediq.services, so that neither the kit nor the
command line names one: what is not installed does not exist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from mesh.contract.methods import SERVERS
from mesh.encryption.encrypted_columns import EncryptedColumn
from mesh.settings import settings_of

__all__ = [
    "ServiceDatabase",
    "ServiceDefinition",
    "databases_of",
    "installed_services",
    "service_definition",
    "services_with_database",
    "services_with_encrypted_columns",
]

GROUP = "mediq.services"


@dataclass(frozen=True)
class ServiceDatabase:
    """Names a database of a service. Each has all tables, by the same migrations."""

    url: str
    """SQLAlchemy URL."""
    encrypted_columns: Sequence[EncryptedColumn]
    """The columns that hold ciphertexts in it."""


def _no_databases(_: Path) -> Sequence[ServiceDatabase]:
    return ()


@dataclass(frozen=True)
class ServiceDefinition:
    """Describes a service to the commands that look after it."""

    name: str
    """Name of its package, such as queue_svc."""
    has_database: bool = False
    """Whether its package has a folder migrations."""
    encrypted_columns: Sequence[EncryptedColumn] = ()
    """The columns that hold ciphertexts of its data keys."""
    further_databases: Callable[[Path], Sequence[ServiceDatabase]] = _no_databases
    """Gives the databases beside its own one, for a data folder."""


def installed_services() -> Sequence[str]:
    """Returns the names of the services that are installed, in the order of their ports."""
    names = {entry.name for entry in entry_points(group=GROUP)}
    return [name for name in SERVERS if name in names]


def service_definition(name: str) -> ServiceDefinition:
    """Loads what an installed service says of itself.

    Args:
        name: One of `installed_services`.

    Raises:
        LookupError: No service of this name is installed.
    """
    for entry in entry_points(group=GROUP, name=name):
        definition = entry.load()
        assert isinstance(definition, ServiceDefinition)
        return definition
    raise LookupError(f"no service {name} is installed")


def databases_of(name: str, home: Path | None = None) -> Sequence[ServiceDatabase]:
    """Returns the databases of an installed service, its own one first.

    Args:
        name: One of `services_with_database`.
        home: Data folder; None takes the environment's.

    Raises:
        LookupError: No service of this name is installed.
    """
    definition, settings = service_definition(name), settings_of(name, home)
    own = ServiceDatabase(settings.database, definition.encrypted_columns)
    return [own, *definition.further_databases(settings.home)]


def services_with_database() -> Sequence[str]:
    """Returns the installed services that have migrations."""
    return [name for name in installed_services() if service_definition(name).has_database]


def services_with_encrypted_columns() -> Sequence[str]:
    """Returns the installed services that have encrypted columns."""
    return [name for name in installed_services() if service_definition(name).encrypted_columns]
