#!/usr/bin/env python3
"""Fetches the packages of one release of a lock file from the first mirror that has each, and checks their hashes.

Usage: fetch_debs.py LOCK RELEASE MACHINE FOLDER MIRROR...

A proxy is taken from the environment. Exit code 75 when a package could not be fetched, 1 when a mirror has another
file than the pinned one and no mirror has that.
"""

import hashlib
import http.client
import pathlib
import shutil
import sys
import urllib.error
import urllib.request

NOT_FETCHED = 75
NOT_PINNED = 1
TIMEOUT_S = 30


def digest(file):
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def fetch(path, sha256, into, mirrors):
    """The reasons of all mirrors when none has it, and whether one of them has another file in its place.

    A transfer that was cut looks like another file too, so the next mirror is asked.
    """
    reasons, differs = [], False
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as source, open(into, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            if digest(into) == sha256:
                return [], False
            into.unlink()
            differs = True
            reasons.append(f"{mirror}: the file's hash is not the pinned one")
        except urllib.error.HTTPError as error:
            gone = ", the version has gone from this mirror" if error.code == 404 else ""
            reasons.append(f"{mirror}: {error.code}{gone}")
        except (OSError, http.client.HTTPException) as error:
            reasons.append(f"{mirror}: not reachable ({error})")
    return reasons, differs


def main():
    lock, release, machine, folder, *mirrors = sys.argv[1:]
    rows = [line.split() for line in pathlib.Path(lock).read_text().splitlines() if not line.startswith("#")]
    wanted = [(sha256, path) for of, on, sha256, path in rows if of == release and on in (machine, "any")]
    if not wanted:
        known = sorted({row[0] for row in rows})
        sys.exit(f"{lock} has no release {release} for {machine}; it has {', '.join(known)} for x86_64 and aarch64")
    for sha256, path in wanted:
        file = pathlib.Path(folder, path.rsplit("/", 1)[-1])
        if file.exists() and digest(file) == sha256:
            continue
        reasons, differs = fetch(path, sha256, file, mirrors)
        if reasons:
            print(f"{file.name} could not be fetched:", *reasons, sep="\n  ", file=sys.stderr)
            sys.exit(NOT_PINNED if differs else NOT_FETCHED)


main()
