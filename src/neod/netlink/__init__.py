"""Netlink for Python programs: one codec, one socket, one dump loop for every protocol. Knows nothing of neo."""
