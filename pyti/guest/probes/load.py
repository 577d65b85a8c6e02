"""Imports modules, or loads entry points, one after the other in this interpreter.

``load.py LIST RESULT START``: LIST has one ``module`` or ``module:attribute`` a line; from line START on, RESULT gets
``{"begin": n}`` before and ``{"end": n, "ok": …, "error": …, "seconds": …}`` after each. A begin without an end names
the one that ended the interpreter. Imports next to nothing itself, so that the target's imports are its own.
"""

import os
import sys
import time
from _json import encode_basestring_ascii as quote  # the C half of json, without loading the package

MAX_ERROR = 500


def main() -> None:
    """Load what the list says."""
    listing, result, start = sys.argv[1:4]
    with open(listing, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would load much
        names = file.read().splitlines()
    out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    del sys.argv[1:]
    for number in range(int(start), len(names)):
        os.write(out, b'{"begin": %d}\n' % number)
        began = time.perf_counter()
        error = _load(names[number])
        seconds = time.perf_counter() - began
        ok = "false" if error else "true"
        line = f'{{"end": {number}, "ok": {ok}, "error": {quote(error)}, "seconds": {seconds:.6f}}}\n'
        os.write(out, line.encode("ascii"))
    os.write(out, b'{"done": true}\n')


def _load(name: str) -> str:
    module, _, attribute = name.partition(":")
    try:
        __import__(module)
        found = sys.modules[module]
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except BaseException as error:  # noqa: BLE001 - whatever a module raises is its result
        return f"{type(error).__name__}: {error}"[:MAX_ERROR]
    return ""


main()
