"""The kernels of `_kernels.c`, compiled for this machine when first asked for."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._race import MissingRival

FLAGS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]


@functools.cache
def _library() -> ctypes.CDLL:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingRival("no C compiler")
    source = Path(__file__).with_name("_kernels.c")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "kernels.so"
        words = [compiler, *FLAGS, str(source), "-o", str(built), "-lm"]
        try:
            subprocess.run(words, capture_output=True, text=True, check=True)
        except OSError as error:
            raise MissingRival(f"no C compiler: {error.strerror}") from error
        except subprocess.CalledProcessError as error:
            raise MissingRival(f"the C compiler failed (exit {error.returncode})") from error
        return ctypes.CDLL(str(built))


def kernel(name: str):
    """A kernel that takes NumPy arrays and Python numbers. Raises MissingRival where it cannot be had."""
    function = getattr(_library(), name)
    function.restype = None

    def call(*arguments) -> None:
        function(*map(_as_c, arguments))

    return call


def _as_c(x):
    if isinstance(x, np.ndarray):
        if not x.flags.c_contiguous:
            raise ValueError("kernels take contiguous arrays.")
        return x.ctypes.data_as(ctypes.c_void_p)
    if isinstance(x, np.int64):
        return ctypes.c_int64(x)
    return ctypes.c_float(x) if isinstance(x, float) else ctypes.c_int32(x)
