"""The dashboard: what the monitor knows, as pages for people; and the hand on releases, by the same commands as ever.

Server-rendered. ``looking`` reads, pure modules make view models of what it gives, templates show those. ``admission``
decides who comes in, ``commands`` what a button asks for.
"""
