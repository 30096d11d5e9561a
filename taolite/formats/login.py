"""Who logs in where: passwords from netrc, bearer tokens from the environment.

    ~/.netrc, or the file that NETRC names     machine HOST login NAME password PASSWORD
    TAOLITE_HTTP_TOKENS                        HOST=TOKEN HOST:PORT=TOKEN http://HOST=TOKEN

A spec may come from anywhere, so a secret goes to a host that is named with it and to no other: netrc's `default` is
not used. A token goes over https, and over http only where its entry says `http://`. A token comes before a password.
"""

from __future__ import annotations

import base64
import functools
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

from taolite.errors import UsageError

__all__ = ["TOKENS_VARIABLE", "login_headers"]

TOKENS_VARIABLE = "TAOLITE_HTTP_TOKENS"
_PORTS = {"http": 80, "https": 443}


def login_headers(url: str) -> dict[str, str]:
    """The Authorization header for an http or https address; empty where no secret is for its host.

    Raises UsageError for a variable or a netrc file that cannot be used, which are named without their secrets.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    token = _tokens(os.environ.get(TOKENS_VARIABLE, "")).get((parts.scheme, host, port))
    if token:
        return {"Authorization": f"Bearer {token}"}
    path = Path(os.path.expanduser(os.environ.get("NETRC") or "~/.netrc"))  # noqa: PTH111  (works without a home)
    if not path.is_file():
        return {}
    found = path.stat()
    name, password = _passwords(path, found.st_mtime_ns, found.st_size).get(host, ("", ""))
    if not password:
        return {}
    if os.name == "posix" and found.st_mode & 0o077:
        raise UsageError(f"{path}: others may read the password of {host}; run chmod 600 {path}")
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@functools.lru_cache(maxsize=4)
def _tokens(text: str) -> dict[tuple[str, str, int], str]:
    """The token of each (scheme, host, port)."""
    found = {}
    for number, entry in enumerate(text.split(), start=1):
        scheme, mark, rest = entry.partition("://")
        place, equal, token = (rest if mark else entry).partition("=")
        scheme = scheme if mark else "https"
        try:
            parts = urlsplit(f"{scheme}://{place}")
            key = (scheme, parts.hostname or "", parts.port or _PORTS[scheme])
        except (ValueError, KeyError):
            key = ("", "", 0)
        if not key[1] or not equal or not token or parts.netloc != place or "@" in place:
            forms = "HOST=TOKEN, HOST:PORT=TOKEN or http://HOST=TOKEN"
            raise UsageError(f"{TOKENS_VARIABLE}: entry {number} is not {forms}; correct it")
        found[key] = token
    return found


@functools.lru_cache(maxsize=4)
def _passwords(path: Path, changed_ns: int, size: int) -> dict[str, tuple[str, str]]:
    """(name, password) of each machine of a netrc file, which is read again when it changed."""
    try:
        hosts = netrc.netrc(str(path)).hosts
    except netrc.NetrcParseError as error:
        needed = "needed is `machine HOST login NAME password PASSWORD`"
        raise UsageError(f"{path}:{error.lineno}: this line cannot be read; {needed}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); correct it or remove it") from None
    hosts.pop("default", None)
    return {host: (name or account or "", secret or "") for host, (name, account, secret) in hosts.items()}
