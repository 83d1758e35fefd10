"""The async client: events over Kafka, predictions and look-ups over HTTP."""

from shipway.client.looking import Looking
from shipway.client.operating import Operating
from shipway.client.predicting import Predicting
from shipway.client.publishing import Publishing
from shipway.client.training import Training


class AsyncShipway(Training, Operating, Predicting, Publishing, Looking):
    """Shipway, for async code; an async context manager."""
