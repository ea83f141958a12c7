"""Which tests run in one process, in their order, when several share the work (pytest-xdist)."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

WHOLE = ("attacks", "e2e", "edge", "packages")
"""Folders whose tests share what is dear to start: a mesh, an Envoy and its servers, wheels."""


def group_of(nodeid: str) -> str:
    """Returns the folder or the file whose tests stay together, such as tests/edge.

    Args:
        nodeid: As pytest writes it, from the root of the project.
    """
    path = PurePosixPath(nodeid.partition("::")[0])
    folder = PurePosixPath(*path.parts[:2])
    return str(folder if folder.name in WHOLE else path)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives groups of tests to the processes, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
