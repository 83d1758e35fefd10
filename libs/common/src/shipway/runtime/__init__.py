"""What the services share: broker, database, objects, settings, telemetry, lifecycle. No business words in it."""
