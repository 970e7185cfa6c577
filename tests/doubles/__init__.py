"""Doubles of what neo needs from outside, and samples of every kind; they know the product from inside."""
