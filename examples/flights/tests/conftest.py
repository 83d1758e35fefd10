"""Before any test of the example is read."""

import os

# As run_child does: OpenMP's threads that wait for each other spinning take a shared core from the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
