"""What the README tells people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ui.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", README, re.M | re.S)


def _commands() -> list[list[str]]:
    found = []
    for block in BLOCKS:
        for line in block.splitlines():
            match = re.match(r"deskhand ((?:[a-z]+)(?: (?:train|list))?)", line)
            if match:
                found.append(match[1].split())
    return found


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_commands_of_the_readme_answer_to_help(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output


def test_the_readme_names_every_command() -> None:
    named = {words[0] for words in _commands()} | set(re.findall(r"\| ([a-z]+) ", "\n".join(BLOCKS)))
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert known | {"adapters"} <= named


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"make ([a-z]+)", "\n".join(BLOCKS))) <= targets


def test_pictures_and_pages_the_readme_links_to_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and all((ROOT / link).is_file() for link in links)
