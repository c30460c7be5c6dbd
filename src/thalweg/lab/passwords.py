"""Addresses with passwords in them: what is stored, printed or raised has them without."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
IN_FRONT = re.compile(r"(?<=://)([^\s/:@'\"]*):[^\s'\"]+@")  # user:password@; a raw password may hold an @ or a /
NAMED = r"[\w-]*(?:password|passwd|pwd|passphrase|secret|token|api_?key|access_?key)"
BEHIND = re.compile(
    rf"""((?:(?:^|[?&;\s{{,'"]|%[0-9a-f]{{2}}){NAMED}(?:\s*=\s*|%3D|['"]\s*:\s*['"]?)|[?&;]key=))[^&;\s'"]+""", re.I
)
LONG = 6  # letters: a shorter password may be part of another word
_known: set[str] = set()  # the passwords of the addresses that this process was given


def remember(address: object) -> None:
    """Leave the passwords of an address out of all texts from now on: these may hold quotes and spaces.

    >>> remember("redis://me:two words@host/0")
    >>> without_passwords("cannot reach 'me:two words@host'")
    "cannot reach 'me:***@host'"
    """
    if not isinstance(address, str):
        return
    rest = address.partition("://")[2] or address
    before, _, query = rest.partition("?")
    user = (before if "@" in before else rest).rpartition("@")[0]
    secrets = [user.partition(":")[2]]
    for name, _, value in (pair.partition("=") for pair in re.split("[&;]", query)):
        if name.lower() == "key" or re.fullmatch(NAMED, name, re.I) or BEHIND.search(unquote(value)):
            secrets += [value, value.rpartition(":")[0]]  # a study's name may follow
    _known.update(filter(None, secrets))


def without_passwords(text: str) -> str:
    """The text with the passwords of its addresses left out, and those that were given.

    >>> without_passwords("mysql://me:p@ss@host/db:study?ssl_password=x&b=1")
    'mysql://me:***@host/db:study?ssl_password=***&b=1'
    """
    for secret in sorted(_known, key=len, reverse=True):
        spelled = re.escape(secret)
        text = re.sub(spelled if len(secret) >= LONG else rf"(?<=[:=]){spelled}", HIDDEN, text)
    return BEHIND.sub(rf"\1{HIDDEN}", IN_FRONT.sub(rf"\1:{HIDDEN}@", text))
