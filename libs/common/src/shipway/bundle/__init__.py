"""The model bundle: what a version is made of, how it is read from data, written, checked and opened again."""
