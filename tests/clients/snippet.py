"""The documented request, in its variants: python snippet.py URL FILE"""
import json
import sys

import requests

base, path = sys.argv[1:]
for url in (f"{base}/api/predict/", f"{base}/api/predict"):
    for extra in ({"data": {"granularity": "utterance", "extract_embedding": True}}, {"json": {"granularity": "utterance"}}, {}):
        with open(path, "rb") as audio:
            answer = requests.post(url, files={"audio": audio}, timeout=120, **extra)
        answer.raise_for_status()
        result = answer.json()
        assert {"emotion", "confidence", "scores", "granularity", "timestamp", "job_id", "model", "segments", "links"} <= result.keys()
        assert abs(sum(result["scores"].values()) - 1) < 1e-3
print(json.dumps({"emotion": result["emotion"]}))
