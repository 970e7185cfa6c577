"""Doubles of the outside world, shipped with the package: nothing in the package itself uses them."""
