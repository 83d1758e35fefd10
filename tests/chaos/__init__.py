"""The fault suite: real processes are killed, paused and cut off under traffic, and the history is checked."""
