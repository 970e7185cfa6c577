"""``[neighbours.NAME]``: permanent neighbour entries."""
