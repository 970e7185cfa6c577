"""neo keeps the network of a multi-address, multipath host what one file says."""

__version__ = "0.1.0"
