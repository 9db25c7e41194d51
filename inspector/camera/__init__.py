"""GenICam acquisition in a process of its own, and the ring its frames come through."""
