"""The check for known vulnerabilities finds what it is there for."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tools import advisories
from tools.advisories import ROOT, Record, load, locked, look_up, main, problems, save

ANSWERED = Record("2026-03-02", {"one==1.0": [], "two==2.0": ["PYSEC-2026-1"]}, ["three==3.0"])


def index(pages: Mapping[str, Any]) -> httpx.AsyncClient:
    """Opens an index of these pages, by path; a number is a status, an exception a broken line."""

    def answer(request: httpx.Request) -> httpx.Response:
        page = pages.get(request.url.path, 404)
        if isinstance(page, Exception):
            raise page
        return httpx.Response(page) if isinstance(page, int) else httpx.Response(200, json=page)

    return httpx.AsyncClient(base_url="https://index", transport=httpx.MockTransport(answer))


def write_lock(root: Path, text: str) -> None:
    (root / "requirements").mkdir(exist_ok=True)
    (root / "requirements" / "run.lock").write_text(text)


def about(version: str, *ids: str, withdrawn: str | None = None) -> dict[str, Any]:
    found = [{"id": one, "withdrawn": withdrawn} for one in ids]
    return {"info": {"version": version}, "vulnerabilities": found}


def test_every_locked_release_was_looked_up_and_none_is_vulnerable() -> None:
    releases = locked(ROOT)
    assert len(releases) > 100
    assert problems(releases, load(ROOT)) == []


def test_the_record_holds_nothing_that_is_not_locked() -> None:
    record = load(ROOT)
    assert {*record.found, *record.unanswered} == set(locked(ROOT))


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("one==1.0", []),
        ("one==1.1", ["one==1.1: not looked up yet: make audit"]),
        ("two==2.0", ["two==2.0: PYSEC-2026-1"]),
        ("three==3.0", []),
    ],
)
def test_problems(release: str, expected: list[str]) -> None:
    assert problems([release], ANSWERED) == expected


def test_what_is_accepted_is_no_problem() -> None:
    accepted = Record(ANSWERED.day, ANSWERED.found, accepted={"PYSEC-2026-1": "not used here"})
    assert problems(["two==2.0"], accepted) == []


@pytest.mark.parametrize(
    ("pages", "found", "unanswered"),
    [
        ({"/one/1.0/json": about("1.0")}, {"one==1.0": []}, []),
        ({"/one/1.0/json": about("1.0", "B", "A")}, {"one==1.0": ["A", "B"]}, []),
        ({"/one/1.0/json": about("1.0", "A", withdrawn="2026")}, {"one==1.0": []}, []),
        ({"/one/json": about("1.0", "A")}, {"one==1.0": ["A"]}, []),
        ({"/one/json": about("1.1", "A")}, {}, ["one==1.0"]),
        ({}, {}, ["one==1.0"]),
    ],
)
async def test_looking_up(
    pages: dict[str, Any], found: dict[str, list[str]], unanswered: list[str]
) -> None:
    async with index(pages) as client:
        record = await look_up(["one==1.0"], {"X": "why"}, client)
    assert (record.found, record.unanswered) == (found, unanswered)
    assert record.accepted == {"X": "why"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record.day)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Returns the command, in a repository that has looked up what it locks."""
    write_lock(tmp_path, "one==1.0\nthree==3.0\n")
    save(tmp_path, ANSWERED)

    def run(*words: str, pages: Mapping[str, Any] | None = None) -> None:
        monkeypatch.setattr(sys, "argv", ["advisories", *words])
        monkeypatch.setattr(advisories, "pypi", lambda: index(pages or {}))
        main(tmp_path)

    return run


def test_the_check_says_what_it_knows(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command()
    said = capsys.readouterr().out
    assert said == (
        "no answer on 2026-03-02 for three==3.0\n"
        "no known vulnerability in 1 of 2 releases on 2026-03-02\n"
    )


def test_a_vulnerable_release_fails_the_check(command: Callable[..., None], tmp_path: Path) -> None:
    write_lock(tmp_path, "two==2.0\nfour==4.0\n")
    with pytest.raises(SystemExit) as failed:
        command()
    assert failed.value.code == "four==4.0: not looked up yet: make audit\ntwo==2.0: PYSEC-2026-1"


def test_a_vulnerability_found_since_fails_the_refresh(
    command: Callable[..., None], tmp_path: Path
) -> None:
    pages = {"/one/1.0/json": about("1.0", "PYSEC-2026-2"), "/three/3.0/json": about("3.0")}
    with pytest.raises(SystemExit) as failed:
        command("--refresh", pages=pages)
    assert failed.value.code == "one==1.0: PYSEC-2026-2"
    assert load(tmp_path).found == {"one==1.0": ["PYSEC-2026-2"], "three==3.0": []}


@pytest.mark.parametrize("failure", [503, httpx.ConnectError("no route")])
def test_an_index_out_of_reach_leaves_the_record(
    command: Callable[..., None], tmp_path: Path, failure: object
) -> None:
    before = load(tmp_path)
    with pytest.raises(SystemExit, match="the record of before stays"):
        command("--refresh", pages={"/one/1.0/json": failure})
    assert load(tmp_path) == before
