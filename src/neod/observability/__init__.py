"""What every service of neo needs around its work: a log, a word to the service manager, a page of metrics.

Not for: anything that knows of networks.
"""
