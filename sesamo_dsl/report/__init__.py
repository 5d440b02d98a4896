"""Pictures of samples and of training."""

from .pictures import samples_picture as samples_picture
from .pictures import save as save
from .pictures import training_picture as training_picture
