"""Experiments: grids of training runs, their significance, and a report with the paper's figures.

Neither training nor using a pipeline requires this package. A study requires the extra `study`, a
report also the extra `report`.
"""
