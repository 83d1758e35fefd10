"""What the docs hold that code knows better, made from it: ``make docs`` writes it, a test holds it.

Each page has a pure module of its own: data of the code in, Markdown out. ``files`` says which file is which, and
``__main__`` writes them.
"""
