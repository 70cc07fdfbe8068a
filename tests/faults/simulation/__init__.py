"""Deterministic simulation: the real pipeline on simulated servers, on a clock that jumps, by a seed.

`run` plays histories: members join, die between any two calls, freeze and wake as zombies; servers lose
answers, go away, are restored from backups; operators move offsets. `judge` holds every transaction against
a model. The same seed gives the same history, line by line: `python -m tests.faults.simulation --seed N`.

    history ── world ── faults            what happens
       │         ├── broker · source      Kafka and its client
       │         ├── database · sink      SQL and its client
       │         ├── redis                 the cache's server
       │         ├── wire                  every call: a way there, an effect, a way back
       │         └── member                consumer, lanes, retrier: the code that is tested
    loop · quiet                           time, tasks and chance, all from the seed
    journal · model · judge                what is seen, what must be, what is wrong
    plants                                 bugs that must be found
"""
