"""The secrets that webhooks are signed with, as Standard Webhooks 1.0.0 writes them; knows neither settings nor receivers."""

from __future__ import annotations

import base64
import binascii

from assistant.errors import UsageError

_MEND = "make one with: python -c \"import base64, os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""


def check_secret(secret: str) -> str:
    """Check a webhook's secret.

    Args:
        secret: As the settings hold it.

    Returns:
        The secret.

    Raises:
        UsageError: It is not ``whsec_`` and the base64 of 24 to 64 bytes. The message does not repeat it.
    """
    if not secret.startswith("whsec_"):
        raise UsageError(f"the secret does not begin with whsec_; {_MEND}")
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"the secret is no base64 after whsec_; {_MEND}") from error
    if not 24 <= len(key) <= 64:
        raise UsageError(f"the secret holds {len(key)} bytes, 24 to 64 are allowed; {_MEND}")
    return secret
