"""Commands that measure speed and memory; see README.md in this folder."""
