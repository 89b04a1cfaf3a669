"""Run each suite with scikit-learn's class and with fastgmm's in its place, and compare."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
# Suites of what converts to scikit-learn's class, which has to be there.
UNDER_ITS_NAME = ("files", "skl2onnx")
# Tests of its own that a package has in its source distribution: package, folder, file.
UPSTREAM = ("skl2onnx", "tests", "test_sklearn_gaussian_mixture_converter.py")


def main() -> int:
    """Return 0 if all that passes with scikit-learn passes with fastgmm."""
    parser = argparse.ArgumentParser(
        description="Run tests of packages that use scikit-learn's GaussianMixture (pyod, "
        "scikit-lego, gmr, skl2onnx, scikit-image, skops, mlflow), and of a subclass with an M "
        "step of its own, twice: with that class and with fastgmm's in its place. What passes "
        "with the first has to pass with the second. Takes some minutes, and two gigabytes of "
        "disk for the packages."
    )
    parser.add_argument(
        "--environment",
        type=Path,
        help="virtual environment to make, or to use again; the default is a temporary one",
    )
    parser.add_argument("suites", nargs="*", help="names of suites, as pyod; the default is all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = prepared_python(arguments.environment or folder / "environment")
        failures = 0
        for name, path in suites(python, folder):
            if arguments.suites and name not in arguments.suites:
                continue
            theirs, ours = (outcomes(python, path, folder, ours=which) for which in (False, True))
            broken = [case for case in theirs if theirs[case] and not ours.get(case)]
            failures += len(broken) + (not theirs)
            passed = sum(theirs.values())
            also = passed - len(broken)
            print(f"{name:24} {passed:4} pass with scikit-learn, {also:4} of them with fastgmm")
            for case in broken:
                print(f"    fails with fastgmm: {case}")
            if not theirs:
                print("    no test was found")
    return int(failures > 0)


def prepared_python(environment: Path) -> Path:
    """Interpreter of an environment that has fastgmm, as it is here, and the packages."""
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(environment, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS, ROOT]
    subprocess.run([str(part) for part in install], check=True)
    return python


def suites(python: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of the suites: those here, and one that comes with its package."""
    for path in sorted((HERE / "suites").glob("test_*.py")):
        yield path.stem.removeprefix("test_"), path
    package, tests, file = UPSTREAM
    (version,) = (
        line.strip() for line in REQUIREMENTS.read_text().splitlines() if line.startswith(package)
    )
    download = [python, "-m", "pip", "download", "--quiet", "--no-deps"]
    download += ["--no-binary", package, "--dest", folder, version]
    subprocess.run([str(part) for part in download], check=True)
    (archive,) = folder.glob(f"{package}-*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    yield f"{package}-upstream", folder / archive.name.removesuffix(".tar.gz") / tests / file


def outcomes(python: Path, suite: Path, folder: Path, *, ours: bool) -> dict[str, bool]:
    """Whether each test of a suite passes; those that are skipped are left out."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    in_its_place = ours and suite.stem.removeprefix("test_") not in UNDER_ITS_NAME
    plugin = ["-p", "replacing_plugin"] if in_its_place else []
    settings = ["-c", "/dev/null", "--rootdir", suite.parent, "-p", "no:cacheprovider"]
    command = [python, "-m", "pytest", "-q", *settings, *plugin, f"--junitxml={report}", suite]
    found = subprocess.run(
        [str(part) for part in command],
        cwd=suite.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FASTGMM_TESTED": "1" * ours},
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():
        print(found.stdout + found.stderr)
        return {}
    cases = ElementTree.parse(report).iter("testcase")
    return {
        f"{case.get('classname')}::{case.get('name')}": not any(
            case.find(trouble) is not None for trouble in ("failure", "error")
        )
        for case in cases
        if case.find("skipped") is None
    }
