"""Whether the service stays as it is: memory, connections and lag under a steady load, for any length."""
