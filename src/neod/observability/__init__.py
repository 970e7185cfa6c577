"""Shared by all programs: log, notifications to systemd, metrics page, command line. Knows nothing of networks."""
