"""Calls one hook of a PEP 517 build backend in the current folder, the unpacked sdist.

``hooks.py HOOK REQUEST RESULT``: REQUEST is JSON ``{"backend", "backend_path", "arguments"}``; RESULT gets
``{"value": …}``, or ``{"missing": true}`` when the backend has no such hook.
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Call the hook."""
    hook, request_path, result_path = sys.argv[1:4]
    with open(request_path, encoding="utf-8") as file:  # noqa: PTH123 - setup scripts see an untouched interpreter
        request = json.load(file)
    del sys.argv[1:]
    sys.path[:0] = [os.path.abspath(path) for path in request["backend_path"]]  # noqa: PTH100 - as above
    module, _, attributes = request["backend"].partition(":")
    backend = importlib.import_module(module)
    for attribute in attributes.split(".") if attributes else ():
        backend = getattr(backend, attribute)
    function = getattr(backend, hook, None)
    result = {"missing": True} if function is None else {"value": function(*request["arguments"])}
    with open(result_path, "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
        json.dump(result, file)


main()
