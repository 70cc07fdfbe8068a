"""upsertd: change events from Kafka into SQL, exactly once in effect."""
