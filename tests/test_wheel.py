"""What an installed Deskhand consists of: its import names, its data, and that nobody else claims those names."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"assistant", "finetune", "retrieval", "ui"}
#: What the build reads; the rest of a checkout may be anything.
PARTS = ("pyproject.toml", "README.md", "LICENSE", "data/README.md", "data/sample", "data/adapters", *sorted(PACKAGES))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        source, target = ROOT / part, folder / "source" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(folder / "source")]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("deskhand-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_four_import_names_and_no_other(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_every_source_file_and_no_test(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= names
    assert not [name for name in names if name.split("/")[-1].startswith("test_") or name.startswith(("tests/", "data/"))]


def test_the_sample_company_and_its_adapters_travel_inside(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder, packed in (("data/sample", "ui/_sample/sample"), ("data/adapters", "ui/_sample/adapters")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                inside = f"{packed}/{path.relative_to(ROOT / folder)}"
                assert inside in names
                assert wheel.read(inside) == path.read_bytes()
    assert "ui/_sample/README.md" in names
    assert "ui/_sample/sample/conversations.jsonl.gz" in names
    assert [name for name in names if name.startswith("ui/_sample/adapters/intent/") and name.endswith("manifest.json")]


def test_the_migrations_travel_inside(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.startswith("assistant/migrations/versions/") and name.endswith(".py")]
    assert "assistant/migrations/env.py" in wheel.namelist()


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    (entry,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "deskhand = ui.cli:main" in wheel.read(entry).decode()


def test_the_command_runs_from_the_unpacked_wheel_and_finds_the_sample_there(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    script = (
        "from ui.sample import find_sample\n"
        "from ui.version import code_version\n"
        "sample = find_sample()\n"
        "print(sample.root, sample.conversations.is_file(), sample.adapters.is_dir(), code_version())\n"
    )
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    version = importlib.metadata.PathDistribution(next(tmp_path.glob("*.dist-info"))).version
    assert ran.stdout.split() == [str(tmp_path / "ui" / "_sample"), "True", "True", version]


def test_no_other_distribution_here_owns_one_of_the_names() -> None:
    owners: dict[str, set[str]] = {name: set() for name in PACKAGES}
    read = 0
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"].lower()
        for file in distribution.files or ():  # the RECORD, which lists what was really installed
            read += 1
            top = file.parts[0].removesuffix(".py")
            if top in owners:
                owners[top].add(name)
    assert read > 1000, "the environment's RECORD files could not be read"
    for top, found in owners.items():
        assert found <= {"deskhand"}, f"{top} belongs to {sorted(found)}"
