"""What the read API answers, as types, so that its OpenAPI document is true."""

from shipway.monitor.responses.models import Model, Models, PredictionHistory, TrainingRequest, Usage, Version
from shipway.monitor.responses.watching import ModelMonitoring, ModelQuality
from shipway.monitor.responses.world import History, Instances, Status

__all__ = [
    "History",
    "Instances",
    "Model",
    "ModelMonitoring",
    "ModelQuality",
    "Models",
    "PredictionHistory",
    "Status",
    "TrainingRequest",
    "Usage",
    "Version",
]
