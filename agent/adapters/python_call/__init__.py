"""The program that calls the function of a `python` job.

It has this folder to itself: Python puts it on its path, where our `secrets.py` would hide the library's.
"""

from pathlib import Path

PROGRAM = str(Path(__file__).with_name("call.py").absolute())
