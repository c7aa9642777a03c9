"""A downloaded embedding, alone and in the archive, as numpy reads it: python embedding.py URL FILE"""
import io
import json
import sys
import urllib.request
import zipfile

import numpy

base, path = sys.argv[1:]


def read(address):
    return urllib.request.urlopen(base + address).read()


with open(path, "rb") as audio:
    request = urllib.request.Request(f"{base}/api/v1/predictions", data=audio.read(), headers={"content-type": "audio/wav"})
links = json.load(urllib.request.urlopen(request))["links"]
alone = numpy.load(io.BytesIO(read(links["npy"])))
archive = zipfile.ZipFile(io.BytesIO(read(links["zip"])))
name = next(name for name in archive.namelist() if name.endswith("/embedding.npy"))
archived = numpy.load(io.BytesIO(archive.read(name)))
assert numpy.array_equal(alone, archived) and numpy.isfinite(alone).all()
print(json.dumps({"shape": alone.shape, "dtype": str(alone.dtype)}))
