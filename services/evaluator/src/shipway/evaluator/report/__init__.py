"""The evaluation report on a version: the whole of it as data, and one page for people. Pure."""
