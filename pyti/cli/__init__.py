"""The ``pyti`` command: one module for each group of commands."""
