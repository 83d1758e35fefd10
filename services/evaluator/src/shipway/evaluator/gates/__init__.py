"""The gates, by what they ask after: plain evidence in, each gate's figure, limit and outcome in words out. Pure."""
