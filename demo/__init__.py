"""The demo: a campus in namespaces, and what neo does when things go wrong there."""
