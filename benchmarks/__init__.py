"""Speed and memory, each a command: `python -m benchmarks.head`, `.pipeline`, `.training` and `.scaling`."""
