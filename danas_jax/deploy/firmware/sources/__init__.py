"""C, C++ and build files that go into firmware projects; project.py says which file goes where."""
