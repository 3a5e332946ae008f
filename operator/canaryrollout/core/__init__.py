"""The pure core: decides from snapshots; never awaits, reads a clock or knows a client."""
