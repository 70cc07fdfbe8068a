"""The proof: real servers, real processes, real faults, and an independent judge of what is left."""
