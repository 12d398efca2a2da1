"""Many pairs at once: decided in several processes, kept in a cache, drawn as a graph of containments."""
