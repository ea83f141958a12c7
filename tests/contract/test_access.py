"""docs/reference/access.md says what the contracts say."""

from pathlib import Path

import pytest

from mesh.contract.methods import Method, methods
from tools.generation import access

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "access.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == access.render(), "run make gen"


@pytest.mark.parametrize("method", methods().values(), ids=lambda method: method.name)
def test_every_rpc_has_a_row(method: Method) -> None:
    assert DOCUMENT.read_text().count(f"\n| {method.name} |") == 1


def test_a_row_tells_roles_callers_rate_and_deadline() -> None:
    row = next(line for line in access.render().splitlines() if line.startswith("| CancelTicket |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "CancelTicket",
        "`DELETE /queue/{id}`",
        *("x", "x", "x", "", "x", ""),
        *("edge", "-", "WRITE", "5 s", "yes", "CHANGE"),
    ]
