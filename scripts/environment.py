"""Runs the script that imports this in the project's own Python environment, which it makes when it is missing."""

import os
import pathlib
import subprocess
import sys


def enter():
    venv = pathlib.Path(__file__).resolve().parent / "venv"
    folder = pathlib.Path(subprocess.run([venv], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    if pathlib.Path(sys.prefix) != folder:
        python = folder / "bin" / "python"
        os.execv(python, [python, *sys.argv])


enter()
