"""Prints Envoy's configuration: `python -m mesh.edge [kubernetes]`."""

import sys

from mesh.edge.render import committed, kubernetes


def main(arguments: list[str]) -> int:
    """Prints the default configuration, or the one for Kubernetes."""
    forms = {"default": committed, "kubernetes": kubernetes}
    form = forms.get(arguments[0] if arguments else "default")
    if form is None:
        print(f"usage: python -m mesh.edge [{'|'.join(forms)}]", file=sys.stderr)
        return 2
    print(form(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
