"""The linter of the contracts: it is silent on the real ones, and every rule can speak."""

import re
import shutil
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.contract.methods import DESCRIPTOR_SET, methods
from tests.contract import broken_fields, broken_policies
from tests.contract.broken import Broken, Draft, change_policy, place_of
from tools.contract_lint import RULES, read
from tools.contract_lint.__main__ import main
from tools.protoc import PROTOS

BROKEN = [*broken_policies.BROKEN, *broken_fields.BROKEN]


def test_the_contracts_keep_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{len(RULES)} rules hold for ")
    assert out.count("\n") == 1


def test_every_rule_has_a_contract_that_breaks_it() -> None:
    assert {case.rule for case in BROKEN} == set(RULES)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.rule)
def test_a_broken_contract_is_found(case: Broken) -> None:
    case.check()


def test_every_rule_says_why_it_exists() -> None:
    verbs = {rule.reason.split()[0] for rule in RULES.values()}
    assert verbs <= {"Bounds", "Counts", "Demands", "Keeps", "Refuses"}


def test_what_is_served_is_what_is_linted() -> None:
    linted = read(FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())).methods
    assert {(method.path, method.server) for method in linted} == {
        (path, method.server) for path, method in methods().items()
    }


def test_the_sources_are_linted_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what was generated from them some time ago."""
    sources = shutil.copytree(PROTOS, tmp_path / "protos")
    contract = sources / "mediq" / "queue" / "v1" / "live_service.proto"
    text = contract.read_text()
    planted = "  // Does nothing.\n  rpc Forget(GetBoardRequest) returns (Board);\n"
    contract.write_text(
        re.sub(r"(service LiveService \{\n(?:.*option.*\n)*)", rf"\1{planted}", text)
    )
    assert main(["--protos", str(sources)]) == 1
    assert "ACCESS_IS_STATED: mediq.queue.v1.LiveService.Forget" in capsys.readouterr().out
    contract.write_text(text + "message {")
    assert main(["--protos", str(sources)]) == 1


def test_another_descriptor_set_is_linted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = Draft()
    change_policy("GetTicket", rate=0)(draft)
    change_policy("CancelTicket", callers=[])(draft)
    broken = tmp_path / "broken.binpb"
    broken.write_bytes(draft.files.SerializeToString())
    assert main(["--descriptor-set", str(broken)]) == 1
    name = "mediq.queue.v1.TicketService"
    assert capsys.readouterr().out.splitlines() == [
        f"{place_of('GetTicket')}: RATE_IS_STATED: {name}.GetTicket states no rate",
        f"{place_of('CancelTicket')}: CALLERS_ARE_STATED: {name}.CancelTicket states no callers",
        f"{place_of('CancelTicket')}: THE_EDGE_CALLS_ALL_BUT_INTERNAL_METHODS: "
        f"{name}.CancelTicket is for people and may not be called by the edge",
    ]


def test_without_source_info_the_file_is_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = Draft()
    change_policy("GetTicket", rate=0)(draft)
    for file in draft.files.file:
        file.ClearField("source_code_info")
    bare = tmp_path / "bare.binpb"
    bare.write_bytes(draft.files.SerializeToString())
    assert main(["--descriptor-set", str(bare)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        "protos/mediq/queue/v1/ticket_service.proto: RATE_IS_STATED: "
        "mediq.queue.v1.TicketService.GetTicket states no rate"
    ) in lines
    comments = [line for line in lines if "ELEMENTS_HAVE_A_COMMENT" in line]
    assert len(comments) == len(lines) - 1 == len({line.split(":")[0] for line in comments})


def test_what_is_no_descriptor_set_is_no_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.binpb"
    without_imports = Draft().files
    del without_imports.file[0]
    for content in (None, b"syntax", without_imports.SerializeToString()):
        if content is not None:
            other.write_bytes(content)
        with pytest.raises(SystemExit) as stopped:
            main(["--descriptor-set", str(other)])
        assert stopped.value.code == 2
        assert "is no descriptor set with all its imports" in capsys.readouterr().err
