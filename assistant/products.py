"""How customers name a company's products -> the product meant; a plain gazetteer in several languages.

Reads ``{"Vac 5": {"names": {"en": ["robot hoover", …], "zh": ["扫地机"]}}}``. Knows nothing of models.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from assistant.errors import SettingsError


class Products:
    """Finds product names in text, longest name first."""

    def __init__(self, names: dict[str, str]) -> None:
        """Take a map from a name as customers write it to the product."""
        self._product = {name.lower().strip(): product for name, product in names.items() if name.strip()}
        ordered = sorted(self._product, key=len, reverse=True)
        parts = [re.escape(name) if _is_han(name) else rf"(?<![a-z0-9]){re.escape(name)}s?(?![a-z0-9])" for name in ordered]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def find(self, text: str) -> str | None:
        """Return the first product named in the text, or ``None``."""
        match = self._pattern.search(text.lower()) if self._pattern else None
        return self.named(match[0]) if match else None

    def named(self, mention: str) -> str | None:
        """Return the product a mention means, plural and case aside, or ``None``."""
        name = mention.lower().strip()
        return self._product.get(name) or self._product.get(name.removesuffix("s"))


def read_products(path: Path) -> Products:
    """Read the company's products.

    Raises:
        SettingsError: If the file is missing or not of the form above.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        names = {
            name: product
            for product, entry in values.items()
            for name in (product, *(name for names in entry["names"].values() for name in _list(names)))
        }
        return Products(names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            [f'company.products = "{path}": cannot be read ({error}); expected {{"Product": {{"names": {{"en": ["name"]}}}}}}']
        ) from error


def _list(names: object) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise TypeError(f"{names!r} is no list of names")
    return names


def _is_han(name: str) -> bool:
    return any("\u3400" <= letter <= "\u9fff" for letter in name)
