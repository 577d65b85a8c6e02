"""The migrations, oldest first by number."""

__all__: list[str] = []
