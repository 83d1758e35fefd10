"""The gateway: takes predictions from outside, routes them to instances that hold the version, answers or says why not.

Reads: desired state, presence, declarations and look-up tables (all as tables).
Writes: prediction log of what it refused or failed, feedback, by what it routes.
Owns: nothing durable; its registry of instances is in memory.
"""
