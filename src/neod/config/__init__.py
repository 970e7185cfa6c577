"""The TOML file: read, checked, and compiled to ``Intents``.

``load`` does it all, and imports pydantic; ``reader`` has a child process do
it, and is what the daemon uses. ``neod.features`` says how to add a table.
"""
