"""The proof of the proof: each rule of the promise broken on purpose, and a scenario that must notice.

`bugs` lists what is broken and by which scenario it is caught, `plants` break the service's code from
outside, `scenarios` run its real parts on a real MariaDB and a real Redis around a Kafka in memory.
`python -m tests.planted` writes the list into docs/proof.md.
"""
