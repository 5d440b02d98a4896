"""The hooks of the pytest plugin, for installations that registered it under the name of this module."""

from sesamo_pytest import pytest_addoption as pytest_addoption
from sesamo_pytest import pytest_collect_file as pytest_collect_file
from sesamo_pytest import pytest_configure as pytest_configure
