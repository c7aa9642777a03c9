-- Lets one transaction at a time decide on a rule and a group: $1 both, joined.
SELECT pg_advisory_xact_lock(hashtextextended('emofleet.alert:' || $1, 0))
