"""Pages of lists that move while they are read."""

from collections.abc import Sequence

from mesh.contract import pagination
from mesh.errors import invalid


def page_of(identifiers: Sequence[str], token: str, size: int) -> tuple[Sequence[str], str]:
    """Returns a page, which goes on after the ticket that the token names, and the next token.

    Args:
        identifiers: The whole list as it is now.
        token: Token of the page. Empty: the first one.
        size: Most identifiers of a page.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PAGE_TOKEN_INVALID.
    """
    position = pagination.decode_token(token, 2)
    start = 0
    if position is not None:
        offset, last = position
        if not offset.isdecimal():
            raise invalid("page_token", "not a token of ours", "PAGE_TOKEN_INVALID")
        # When that ticket has left the list, others moved up: rather show one twice than none.
        start = identifiers.index(last) + 1 if last in identifiers else int(offset) - 1
    page = identifiers[max(0, start) : max(0, start) + size]
    end = max(0, start) + len(page)
    more = end < len(identifiers)
    return page, pagination.encode_token(str(end), page[-1]) if page and more else ""
