"""Retirement with the monitor's rules and the releaser's, whatever becomes of what they say to each other."""

from hypothesis import settings

from services.releaser.tests.retirement_machine import Retirements

Retirements.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRetirements = Retirements.TestCase
