"""What tests of any package share: the fixtures of ``tests/databases.py``, and how long an example may take."""

from hypothesis import settings

pytest_plugins = ["databases"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("shipway", deadline=None)
settings.load_profile("shipway")
