"""What an import loads, and what it gives."""

import types

import pytest
from processes import run_python

import fastgmm


def test_import_loads_neither_numba_nor_scikit_learn():
    loaded = run_python(
        "import sys, fastgmm\n"
        "fastgmm.__version__, dir(fastgmm)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    ).split()
    assert "fastgmm" in loaded
    assert not {"numba", "sklearn", "scipy", "pandas", "matplotlib", "rich"} & set(loaded)


def test_records_and_reference_do_without_numba_too():
    loaded = run_python(
        "import sys, fastgmm\n"
        "fastgmm.Parameters, fastgmm.Statistics, fastgmm.reference.expectation\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    ).split()
    assert not {"numba", "sklearn", "scipy"} & set(loaded)


def test_every_public_name_loads_in_a_new_process():
    assert set(fastgmm.__all__) <= set(dir(fastgmm))
    names = run_python(
        "import fastgmm\n"
        "print(*[name for name in fastgmm.__all__ if getattr(fastgmm, name) is not None])\n"
        "import sys; assert not {'dask', 'distributed', 'xarray'} & set(sys.modules)"
    ).split()
    assert names == fastgmm.__all__


def test_submodules_are_attributes():
    assert isinstance(fastgmm.kernels, types.ModuleType)
    assert fastgmm.GaussianMixture.__module__ == "fastgmm.mixture"


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert fastgmm.__version__ == version("fastgmm")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'GaussianMixtures'"):
        fastgmm.GaussianMixtures  # noqa: B018
