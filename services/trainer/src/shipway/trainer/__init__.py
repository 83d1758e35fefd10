"""The trainer: turns training requests into versions, whole bundles in the object store.

Reads ModelDeclared, TrainingRequested, TrainingCancelRequested. Writes TrainingAccepted, TrainingProgressed,
TrainingCompleted, TrainingFailed, and ModelDeclared again after the broker lost it. Owns the declarations that
trainings start from, the jobs with their leases, and the numbers of versions.
"""
