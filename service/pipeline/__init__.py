"""From records to outcomes: one lane a partition, one code path for one record or many."""
