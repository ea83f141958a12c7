"""Prints the gRPC service config of all contracts: deadlines, and which methods may be retried.

For clients that are not built with the kit: most gRPC libraries take the document as the default
service config of a channel. In Python, state the deadline with each call instead: grpcio ends calls
with a `timeout` of the service config about a second early and does not tell the server.
"""

import json
from collections import defaultdict

from mesh.contract.methods import methods
from mesh.rpc.client import RETRY_POLICY, RETRY_THROTTLING


def document() -> str:
    """Returns the service config as JSON; methods of one deadline and kind share an entry."""
    groups: dict[tuple[float, bool], list[dict[str, str]]] = defaultdict(list)
    for method in methods().values():
        retried = method.retriable and not method.streaming
        name = {"service": method.service, "method": method.name}
        groups[method.deadline_seconds or 0.0, retried].append(name)
    entries = []
    for (seconds, retried), names in sorted(groups.items(), key=lambda item: item[0]):
        entry: dict[str, object] = {"name": names}
        if seconds:
            entry["timeout"] = f"{seconds:g}s"
        if retried:
            entry["retryPolicy"] = RETRY_POLICY
        entries.append(entry)
    config = {"methodConfig": entries, "retryThrottling": RETRY_THROTTLING}
    return json.dumps(config, indent=1) + "\n"


if __name__ == "__main__":
    print(document(), end="")
