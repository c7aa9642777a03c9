"""Uploads a folder's recordings for the peer and sends a task for each: `python -m peer_fleet.enqueue RUN FOLDER`."""

import os
import sys
from pathlib import Path

import psycopg

from .tasks import TABLES, app, client, score


def main(run: str, folder: Path) -> None:
    store, bucket = client(), os.environ["EMOFLEET__S3__BUCKET"]
    with psycopg.connect(os.environ["EMOFLEET__POSTGRES__URL"], autocommit=True) as database:
        database.execute(TABLES)
    with app.connection_for_write() as connection:
        for path in sorted(folder.iterdir()):
            key = f"{run}/{path.name}"
            store.upload_file(str(path), bucket, key)
            score.apply_async((run, key), connection=connection)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
