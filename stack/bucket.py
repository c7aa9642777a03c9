#!/usr/bin/env python3
"""Create the buckets and prove that the store takes writes: a signed PUT, GET and DELETE of one small object.

A store that answers may still be unable to write (no volume yet, wrong key). Only the standard library, so that
it runs on a bare machine. Reads EMOFLEET__S3__{ENDPOINT,BUCKET,ARTIFACT_BUCKET,REGION,ACCESS_KEY,SECRET_KEY}.

Usage: bucket.py [SECONDS]   keep trying for that long (30); exit 1 with the last answer when it never works.
"""

import datetime
import hashlib
import hmac
import http.client
import os
import sys
import time
import urllib.parse

ENDPOINT = urllib.parse.urlsplit(os.environ["EMOFLEET__S3__ENDPOINT"])
BUCKETS = [os.environ["EMOFLEET__S3__BUCKET"], os.environ.get("EMOFLEET__S3__ARTIFACT_BUCKET", "")]
REGION = os.environ.get("EMOFLEET__S3__REGION", "us-east-1")
ACCESS_KEY = os.environ["EMOFLEET__S3__ACCESS_KEY"]
SECRET_KEY = os.environ["EMOFLEET__S3__SECRET_KEY"]
PROBE = ".emofleet-probe"


def sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def request(method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """One path-style request, signed with AWS Signature Version 4."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": ENDPOINT.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + SECRET_KEY.encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = sign(key, part)
    signature = sign(key, to_sign).hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    secure = ENDPOINT.scheme == "https"
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(ENDPOINT.netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def attempt(bucket: str) -> str:
    """Empty when everything worked, else what did not."""
    steps = [
        ("create the bucket", "PUT", f"/{bucket}", b"", {200, 409}),  # 409: it is there already
        ("write", "PUT", f"/{bucket}/{PROBE}", b"probe", {200}),
        ("read", "GET", f"/{bucket}/{PROBE}", b"", {200}),
        ("delete", "DELETE", f"/{bucket}/{PROBE}", b"", {200, 204}),
    ]
    for what, method, path, body, good in steps:
        try:
            status, text = request(method, path, body)
        except OSError as error:
            return f"{what}: {error}"
        if status not in good:
            return f"{what}: {status} {text[:200].decode(errors='replace')}"
        if what == "read" and text != b"probe":
            return "read: another content than was written"
    return ""


def main() -> int:
    until = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 30)
    for bucket in filter(None, BUCKETS):
        while problem := attempt(bucket):
            if time.monotonic() > until:
                print(f"bucket {bucket}: {problem}", file=sys.stderr)
                return 1
            time.sleep(0.3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
