"""What all tests share."""

from hypothesis import settings

settings.register_profile("neo", deadline=None)  # machines are shared: a slow example is no failure
settings.load_profile("neo")
