"""The evaluator: judges every version before anything serves it.

Reads TrainingCompleted, and from release events which version is the champion. Writes ModelApproved and
ModelRejected. Owns the candidates that wait for a verdict, the verdicts with every gate's figure and reason,
and what it knows of champions.
"""
