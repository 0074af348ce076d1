"""What a server is called that a shell command starts: by the program that serves.

That is the program of the command's last pipeline, for the shell waits there; what prepares it
(``cd``, ``trap``, a migration) comes before, and what its output goes through behind a ``|``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final

#: What is called so if there is no program.
UNKNOWN: Final = "server"

_BETWEEN: Final = re.compile(r"[;&()]+|\|\|")
_ASSIGNMENT: Final = re.compile(r"\w+=")
#: Words before a program that only say how it is run, options of theirs included.
_BEFORE: Final = {
    *("exec", "env", "command", "nohup", "setsid", "time"),
    *("if", "then", "else", "while", "until", "do", "{", "!"),
}
#: What the shell does itself, or what serves nobody.
_NO_SERVER: Final = {
    *("cd", "trap", "export", "unset", "set", "shift", "ulimit", "umask", ".", "source", "eval"),
    *("wait", "exit", "kill", "read", "test", "[", "true", "false", ":", "echo", "sleep"),
    *("for", "case", "done", "fi", "esac", "}"),
}


def program_of(command: str) -> str:
    """Return the name of the program that serves, :data:`UNKNOWN` if none can be made out."""
    programs = [found for words in _pipelines(command) if (found := _first(words))]
    return programs[-1] if programs else UNKNOWN


def _pipelines(command: str) -> Iterator[Sequence[str]]:
    words: list[str] = []
    for word in _words(command.replace("\n", ";")):
        if _BETWEEN.fullmatch(word):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # a quotation without an end, which is the shell's to refuse
        return command.split()


def _first(words: Sequence[str]) -> str:
    prepared = False
    for word in words:
        if word in _BEFORE:
            prepared = True
        elif not (_ASSIGNMENT.match(word) or (prepared and word.startswith("-"))):
            return "" if word in _NO_SERVER else PurePath(word).name
    return ""
