"""A campaign of damaged files: every reader of fdiff meets inputs that were meant to break it.

``python -m tests.fuzz --count N --seed S`` damages the small files of ``tests/corpus``, one way at
a time, and uses each as its owner would, in a child process with a limit on time and memory. An
input is *accepted* (and then its values must be those that stand in the file), *clear* (refused in
fdiff's own words, with the file's name), or *other*: another library's words, a raw exception, a
hang, too much memory, a crash, or a file written outside the input's own folder.
"""
