"""Runs the programs beside this file with the packages that package.json names."""

import json
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parent
SECONDS_MAX = 120


def run(program, node, **what):
    """What the program says became of what it was to do on a node."""
    installed = FOLDER / "node_modules" / ".package.json"
    wanted = (FOLDER / "package.json").read_bytes()
    if not installed.exists() or installed.read_bytes() != wanted:
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=FOLDER, check=True)
        installed.write_bytes(wanted)
    command = ["node", FOLDER / program, json.dumps({"port": node.port, **what})]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=SECONDS_MAX)
    return json.loads(ran.stdout)
