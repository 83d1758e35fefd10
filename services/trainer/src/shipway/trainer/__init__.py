"""The trainer: turns training requests into versions, whole bundles in the object store.

Reads ModelDeclared, TrainingRequested, SearchRequested, ModelImportRequested, TrainingCancelRequested,
TrainingRetryRequested. Writes TrainingAccepted, TrainingProgressed, TrainingCompleted, TrainingFailed, SearchCompleted,
TrainingRequested by schedule, and ModelDeclared again after the broker lost it. Owns the declarations that trainings
start from, the jobs and their stages with their leases, what stages gave, and the numbers of versions. Shows jobs,
stages and logs over HTTP.
"""
