"""The release before and this one, side by side."""
