"""Which Deskhand this is; written into manifests and shown by ``--version``."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path


def code_version() -> str:
    """Return the version, from the checkout's ``pyproject.toml`` or of the installed package.

    Returns:
        For example ``0.1.0``.
    """
    # A checkout that lies beside an installed package must not claim that package's version.
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project.is_file():
        values = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if values.get("name") == "deskhand":
            return str(values["version"])
    return importlib.metadata.version("deskhand")
