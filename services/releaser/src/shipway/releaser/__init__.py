"""The releaser: the only writer of what is served.

Reads ModelApproved, ModelDegraded, ModelRetired, QualityMeasured, OperatorCommand and the presence of the instances.
Writes the desired state of every model, and ReleaseProgressed, ModelReleased, ReleasePromoted, ReleaseRolledBack,
ReleaseSuperseded, RetirementDeferred, CommandAnswered, and ModelRetired where an operator commands it. Owns the
releases, the versions and their roles. The decisions are in ``release``.
"""
