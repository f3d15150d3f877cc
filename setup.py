"""The packages. Everything else about the project is in setup.cfg.

The folder configs of the repository is the package's folder spacy_tabcnn/configs in a distribution.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["spacy_tabcnn*"]), "spacy_tabcnn.configs"],
    package_dir={"spacy_tabcnn.configs": "configs"},
)
