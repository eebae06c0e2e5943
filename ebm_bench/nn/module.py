"""Base class of modules whose settings are dataclass fields."""

from typing import ClassVar, Self

from torch import nn


class Component(nn.Module):
    """A torch module whose subclasses are dataclasses.

    `torch.nn.Module` must be initialised before a dataclass assigns its first field;
    subclasses build their parameters in ``__post_init__``.
    """

    name: ClassVar[str] = ""

    def __new__(cls, *args, **kwargs) -> Self:
        """Initialise the module before the fields are assigned."""
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self
