"""The two floating-point types that models and emitted code compute in."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "float64"]
