"""The evaluator: judges every version before anything serves it, and asks it again what others were asked.

Reads TrainingCompleted, from release events which version is the champion, and ReplayRequested. Writes ModelApproved
and ModelRejected, ReplayCompleted and ReplayFailed. Owns the candidates that wait for a verdict, the verdicts with
every gate's figure and reason, the replays that were asked for, and what it knows of champions.
"""
