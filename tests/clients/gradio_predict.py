"""What users of gradio_client write, against the console: python gradio_predict.py URL FILE"""
import json
import sys

import gradio_client
from gradio_client import Client

url, path = sys.argv[1:]
major = int(gradio_client.__version__.split(".")[0])
client = Client(url) if major < 1 else Client(url, verbose=False)
if major == 0:
    result = client.predict(path, "utterance", True, api_name="/predict")
    named = client.view_api(return_format="dict")
else:
    from gradio_client import handle_file

    result = client.predict(handle_file(path), "utterance", True, api_name="/predict")
    by_name = client.predict(audio=handle_file(path), extract_embedding=False, api_name="/predict")
    assert by_name["links"].get("npy") is None, by_name["links"]
    named = client.view_api(return_format="dict")
if isinstance(result, str):  # older clients keep JSON in a file
    with open(result) as file:
        result = json.load(file)
assert [p["parameter_name"] for p in named["named_endpoints"]["/predict"]["parameters"]] == ["audio", "granularity", "extract_embedding"]
# What is wrong with a request is said.
try:
    client.predict(path if major == 0 else handle_file(path), "word", True, api_name="/predict")
except AttributeError:
    raise
except Exception as error:
    assert major < 2 or "granularity" in str(error), repr(error)
else:
    raise SystemExit("a granularity that does not exist was accepted")
print(json.dumps({"version": gradio_client.__version__, "emotion": result["emotion"], "scores": result["scores"]}))
