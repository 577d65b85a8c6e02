"""``python -m pyti``: the same as the command ``pyti``."""

from pyti.cli.main import main

main()
