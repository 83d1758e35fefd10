"""The releaser: the only writer of what is served.

Reads ModelApproved, ModelDegraded, ModelRetired, QualityMeasured, OperatorCommand and the presence of the instances.
Writes the desired state of every model, and ReleaseProgressed, ModelReleased, ReleasePromoted, ReleaseRolledBack,
ReleaseSuperseded, RetirementDeferred, BundleRemoved, CommandAnswered, ModelRetired where an operator commands it, and
TrainingRequested where a degraded champion has no version to go back to. Owns the releases, the versions and their
roles, and removes bundles from the object store. The decisions are in ``release``.
"""
