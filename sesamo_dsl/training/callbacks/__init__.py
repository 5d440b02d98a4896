"""Callbacks: functions that are called after every step of a training, and those that the package has.

- ``watching``: what a callback is told, and the base class of those that remember something;
- ``often``: a callback that is called every n steps or every n seconds;
- ``best``: early stopping and best weights;
- ``loggers``: files of the metrics, as CSV and for TensorBoard;
- ``picture``: a picture that follows the training.
"""

from .best import BestWeights as BestWeights
from .best import EarlyStopping as EarlyStopping
from .loggers import CSVLogger as CSVLogger
from .loggers import TensorBoardLogger as TensorBoardLogger
from .often import Every as Every
from .picture import LivePicture as LivePicture
from .watching import Callback as Callback
from .watching import Step as Step
from .watching import Watch as Watch
from .watching import Watcher as Watcher
from .watching import checked as checked

SHIPPED: dict[str, type[Watcher]] = {
    kind.__name__: kind for kind in (CSVLogger, TensorBoardLogger, EarlyStopping, BestWeights, LivePicture)
}
"""The callbacks of the package by name; they are made from plain numbers and text."""
