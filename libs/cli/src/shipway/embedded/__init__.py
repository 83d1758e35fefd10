"""The stack for trying out and developing: real PostgreSQL, a Kafka-protocol broker and every service, one supervisor.

``stack.prepare`` chooses ports and makes the plan, ``Supervisor(plan)`` runs it, ``state.read_state`` tells
other programs where it is. Nothing here is meant for production: one machine, one disk, one broker.
"""
