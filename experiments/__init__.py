"""Experiments: grids of training runs, their significance and a report beside the paper's figures.

Nothing here is needed to train or to use a pipeline. Running a study needs the extra `study`, a report also `report`.
"""
