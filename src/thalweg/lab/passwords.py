"""Addresses with passwords in them: what is stored, printed or raised has them without."""

from __future__ import annotations

import re

HIDDEN = "***"
IN_FRONT = re.compile(r"(?<=://)([^\s/:@'\"]*):[^\s'\"]+@")  # user:password@; a raw password may hold an @ or a /
BEHIND = re.compile(
    r"((?:^|[?&;\s])[\w-]*(?:password|passwd|pwd|passphrase|secret|token|api_?key|access_?key)=)[^&;\s'\"]+", re.I
)


def without_passwords(text: str) -> str:
    """The text with the passwords of its addresses left out.

    >>> without_passwords("mysql://me:p@ss@host/db:study?ssl_password=x&b=1")
    'mysql://me:***@host/db:study?ssl_password=***&b=1'
    """
    return BEHIND.sub(rf"\1{HIDDEN}", IN_FRONT.sub(rf"\1:{HIDDEN}@", text))
