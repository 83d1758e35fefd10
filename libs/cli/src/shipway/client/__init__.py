"""Shipway from Python: declare, train, predict, look. ``Shipway`` blocks, ``AsyncShipway`` is for async code."""

from shipway.client.addresses import Addresses
from shipway.client.answers import KnownLabel, Prediction, Predictions
from shipway.client.blocking import Shipway
from shipway.client.client import AsyncShipway
from shipway.client.errors import Refused, ShipwayError, Unreachable
from shipway.client.frames import Frame
from shipway.client.journey import Journey

__all__ = [
    "Addresses",
    "AsyncShipway",
    "Frame",
    "Journey",
    "KnownLabel",
    "Prediction",
    "Predictions",
    "Refused",
    "Shipway",
    "ShipwayError",
    "Unreachable",
]
