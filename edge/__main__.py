"""Prints Envoy's configuration: `python -m edge [kubernetes] [FILE]`."""

import sys

from edge.files import BOOTSTRAP, render_files
from edge.settings import EdgeSettings, kubernetes_settings


def main(arguments: list[str]) -> int:
    """Prints a file of the default configuration, or of the one for Kubernetes.

    Args:
        arguments: The form, default or kubernetes, and the file's name, envoy.yaml when left out.

    Returns:
        0, or 2 when there is no such form or file.
    """
    forms = {"default": EdgeSettings(), "kubernetes": kubernetes_settings()}
    form, name, *more = [*arguments, *("default", BOOTSTRAP)[len(arguments) :]]
    names = render_files(EdgeSettings())
    if form not in forms or name not in names or more:
        usage = f"[{'|'.join(forms)}] [{'|'.join(names)}]"
        print(f"usage: python -m edge {usage}", file=sys.stderr)
        return 2
    print(render_files(forms[form])[name], end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
