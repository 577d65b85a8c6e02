"""Scripts that run inside the target's interpreter, each on its own: they import nothing from here."""
