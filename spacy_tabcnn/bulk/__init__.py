"""Bulk annotation: files of any size through a pipeline, resumable, and the graph of what was found.

Parquet needs the extra `bulk`, a graph (but not its CSV) the extra `graph`.
"""
