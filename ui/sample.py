"""Where the sample company's files are: inside the installed package, or in the checkout.

Knows names of files, nothing of what is in them. ``demo.py`` sets the company up from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assistant.errors import UsageError

COMPANY = "Fernwick"
LANGUAGES = ("en", "zh")
SUPPORT_HOURS = "Mon-Sat 8:00-20:00 CET"
#: In the wheel, ``data/sample`` and ``data/adapters`` lie in this folder of the package (see ``pyproject.toml``).
PACKAGED = "_sample"


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample company; ``root`` holds ``sample/`` and ``adapters/``."""

    root: Path

    @property
    def conversations(self) -> Path:
        """Return the past conversations, gzipped JSONL."""
        return self.root / "sample" / "conversations.jsonl.gz"

    @property
    def articles(self) -> Path:
        """Return the folder of help articles."""
        return self.root / "sample" / "articles"

    @property
    def templates(self) -> Path:
        """Return the approved answers."""
        return self.root / "sample" / "templates.jsonl"

    @property
    def products(self) -> Path:
        """Return the products' names."""
        return self.root / "sample" / "products.json"

    @property
    def adapters(self) -> Path:
        """Return the folder of shipped adapters; it may be missing in a checkout where none was trained yet."""
        return self.root / "adapters"

    def labelled(self, part: str, task: str) -> Path:
        """Return the labelled file of a task, ``part`` being ``train`` or ``validation``.

        Raises:
            UsageError: If the sample has none for that task.
        """
        path = self.root / "sample" / part / f"{task}.jsonl"
        if not path.is_file():
            raise UsageError(f"the sample company has no {part} file for {task!r}; name your own with --data FILE")
        return path


def find_sample() -> Sample:
    """Find the sample company.

    Returns:
        Its files, from the installed package if they are there, else from the checkout.

    Raises:
        UsageError: If they are in neither place.
    """
    here = Path(__file__).resolve().parent
    for root in (here / PACKAGED, here.parent / "data"):
        if (root / "sample" / "templates.jsonl").is_file():
            return Sample(root)
    raise UsageError(f"the sample company is neither in {here / PACKAGED} nor in {here.parent / 'data'}; reinstall deskhand")
