"""Shared by both daemons: the log, notifications to systemd, the metrics page. Knows nothing of networks."""
