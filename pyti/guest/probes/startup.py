"""Writes the names of the modules that a bare interpreter has loaded, one a line, to the file named first."""

import sys

with open(sys.argv[1], "w", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib would load much
    file.write("\n".join(sorted(sys.modules)))
