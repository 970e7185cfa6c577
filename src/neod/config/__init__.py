"""The TOML file: read, checked, and turned into intents.

``load`` does it all, and imports pydantic; ``reader`` has a child process do
it, and is what the daemon uses. ``tables`` says how to add a table.
"""
