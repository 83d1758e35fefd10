"""The predictor: holds the versions that the desired state names, and scores rows with them.

Reads: desired state (as a table); bundles from the object store. Writes: presence, prediction log.
Owns: nothing durable.
"""
