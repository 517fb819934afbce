"""What turns a vector of features into class scores."""

from __future__ import annotations

from torch import Tensor, nn

from nasengine.networks.blocks.activation import make_activation


class Linear(nn.Linear):
    """A fully connected layer.

    Args:
        in_features: length of the input vector.
        width: length of the output vector.
        bias: learn a bias for each output.

    Raises:
        ValueError: a width below 1.
    """

    def __init__(self, in_features: int, width: int, *, bias: bool = True) -> None:
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        super().__init__(in_features, width, bias=bias)


class LinearHead(nn.Module):
    """Class scores from a feature vector, through a hidden layer or directly.

    Args:
        in_features: length of the feature vector.
        classes: number of scores.
        hidden: length of the hidden layer; 0 for none.
        activation: of the hidden layer, by name.
        dropout: probability before the last layer, in training.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 0,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden: nn.Module = nn.Linear(in_features, hidden) if hidden else nn.Identity()
        self.activation: nn.Module = make_activation(activation) if hidden else nn.Identity()
        self.dropout: nn.Module = nn.Dropout(dropout) if dropout else nn.Identity()
        self.classifier = nn.Linear(hidden or in_features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) to (N, classes)."""
        return self.classifier(self.dropout(self.activation(self.hidden(x))))
