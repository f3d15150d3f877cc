"""Bulk annotation: files of any size, Spark DataFrames, and the graph of the found relations.

Parquet needs the extra `bulk`, Spark the extra `spark`, and a graph (but not its CSV) the extra
`graph`.
"""
