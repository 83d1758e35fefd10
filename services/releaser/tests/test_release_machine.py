"""Whatever instances do and operators command, and however events come: what always holds."""

from hypothesis import settings

from services.releaser.tests.release_machine import Releases

Releases.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestReleases = Releases.TestCase
