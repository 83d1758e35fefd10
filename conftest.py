"""What tests of any package share: the fixtures of ``tests/databases.py``, and how they behave on a busy machine."""

import os

from hypothesis import settings

# As run_child does, and before LightGBM is loaded: OpenMP's threads that wait for each other spinning take a shared
# core from the others, and a training of a second takes half a minute.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest_plugins = ["databases"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("shipway", deadline=None)
settings.load_profile("shipway")
