"""emofleet against a fleet of Celery and FunASR on the same services: `./models/emotion2vec/peer_fleet/bench.sh`."""
