"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says something of the machine, and nothing of our code.
settings.register_profile("guideway", deadline=None)
settings.load_profile("guideway")
