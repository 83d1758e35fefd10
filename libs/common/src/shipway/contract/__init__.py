"""What Shipway's parts say to each other: events, topics, the model file, signatures. No I/O, no framework."""
