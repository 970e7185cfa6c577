"""The commands of ``neodctl``: one module each, of the same name, with a ``COMMAND``.

The first line of the module is the command's line in the list of commands: it
is read there, so that no module is imported but that of the command that runs.
A name that is a keyword of Python ends with an underscore (``import_``).
"""
