"""Scans over couplings: samplers at many points, curves with errors, and laws that hold between points."""

from .driver import scan as scan
from .laws import Law as Law
from .point import ScanPoint as ScanPoint
from .result import Scan as Scan
