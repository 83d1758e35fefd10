"""The monitor: keeps the history of everything, counts predictions, and says when a version failed or is to go.

Reads: all events, prediction log, feedback; presence (as a table). Writes: ModelDegraded, ModelRetired,
QualityMeasured, AlertChanged, BudgetChanged, TrainingRequested.
Owns: history, views of models and versions, usage, labels, service levels; the prediction history in the object
store. Serves the read API.
"""
