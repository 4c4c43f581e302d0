"""What pyproject.toml cannot say: there is C code to compile, for ``maglev``."""

from setuptools import setup

setup(cffi_modules=["maglev/native_build.py:native"])
