"""The verbs of the control socket with what they answer: the one model behind it, ``--json`` and every table.

A module holds what is asked about one subject: replies, then the verbs (see
``neod.control.verb``). ``neodctl status`` loads only its own: making these
classes takes half a millisecond each.

Replies are plain values, computed by the daemon; a client that prints them
decides nothing. A field is added with a default and never changes its meaning;
readers ignore fields they do not know. An empty string or ``None`` means "there
is none". Objects are named by the text of their key (``rule:11003/from
10.8.0.5/32 lookup 3``). Durations are seconds or milliseconds from the moment
of the reply; instants are wall-clock times in ISO 8601 with offset, for people.

Not for: errors (see ``neod.control.errors``).
"""
