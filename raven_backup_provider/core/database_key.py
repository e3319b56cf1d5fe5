"""When two spellings mean the same database to RavenDB.

The server stores a database under its name in lower case, mapped character by character. Tried on 7.1.5 and 5.4.207: ``Grün``
and ``GRÜN`` are one database, and so are ``ẞ`` and ``ß``; ``ſhop`` and ``shop``, ``ı`` and ``i``, ``Größe`` and ``GRÖSSE`` are two.
"""

from __future__ import annotations

import unicodedata


def database_key(name: str) -> str:
    """A text that is equal for exactly those names which RavenDB takes for one database."""
    return name.lower() if name.isascii() else "".join(map(_lower, name))


def folder_key(folder: str) -> str:
    """The same for the folder of a database: also equal for the two forms in which file servers give composed letters back.

    Safe, since a name that is not composed has an escaped folder (core/names.py).
    """
    return database_key(composed(folder))


def composed(name: str) -> str:
    """A file's or folder's name as it was given, from a server that keeps letters and their accents apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _lower(character: str) -> str:
    """.NET's invariant lower case never makes one character two."""
    lower = character.lower()
    return lower if len(lower) == 1 else character
