"""The image, the compose files and the Kubernetes manifests: checked on paper, and for real.

`lint` needs no engine and runs with every test run (`tests/unit/test_manifests.py`);
`python -m tests.container` (`make container-check`) builds the image and runs it and the compose files.
"""
