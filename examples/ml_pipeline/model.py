"""Fit a logistic regression, and score it honestly.  Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_MOST_ITERATIONS: Final = 25
_CLOSE_ENOUGH: Final = 1e-6
_BLOCK_ROWS: Final = 4_096
_SMALLEST_CHANCE: Final = 1e-9


class Model(NamedTuple):
    """A logistic regression on standardised features."""

    mean: Vector
    scale: Vector
    weights: Vector  #: The first is the intercept.

    def chances(self, matrix: NDArray[Any]) -> Vector:
        """Return for each row the probability that its label is true."""
        return _logistic(self._inputs(matrix) @ self.weights)

    def _inputs(self, matrix: NDArray[Any]) -> Vector:
        # What nobody measured counts as average: 0 after standardisation.
        return np.column_stack([np.ones(len(matrix)), np.nan_to_num((matrix - self.mean) / self.scale)])


def fit(matrix: NDArray[Any], labels: NDArray[np.bool_], ridge: float = 1.0) -> Model:
    """
    Return the model that fits *labels* best, by Newton's method.

    Args:
        matrix: One row an example; NaN is allowed.
        labels: One an example.
        ridge: Weight of the penalty on large coefficients; must be positive, as some columns add up to others.
    """
    mean: Vector = np.asarray(np.nanmean(matrix, axis=0, dtype=np.float64))
    scale: Vector = np.asarray(np.nanstd(matrix, axis=0, dtype=np.float64))
    model = Model(mean, np.where(scale > 0, scale, 1.0), np.zeros(matrix.shape[1] + 1))
    inputs = model._inputs(matrix)
    penalty = np.full(len(model.weights), ridge)
    penalty[0] = 0.0  # the intercept is no coefficient
    for _ in range(_MOST_ITERATIONS):
        gradient, curvature = _derivatives(inputs, labels, model.weights)
        step = np.linalg.solve(curvature + np.diag(penalty), gradient + penalty * model.weights)
        model = model._replace(weights=model.weights - step)
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    return model


def _derivatives(inputs: Vector, labels: NDArray[np.bool_], weights: Vector) -> tuple[Vector, Vector]:
    """Return the gradient and the curvature of the loss at *weights*."""
    gradient = np.zeros(len(weights))
    curvature = np.zeros((len(weights), len(weights)))
    # By blocks that stay in the processor's cache: half the time, and no second copy of the inputs.
    for begin in range(0, len(inputs), _BLOCK_ROWS):
        block = inputs[begin : begin + _BLOCK_ROWS]
        chances = _logistic(block @ weights)
        gradient += block.T @ (chances - labels[begin : begin + _BLOCK_ROWS])
        curvature += (block * (chances * (1 - chances))[:, None]).T @ block
    return gradient, curvature


def auc(scores: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """
    Return the chance that a random true example scores higher than a random false one; equal scores count half.

    Raises:
        ValueError: *labels* are all the same.
    """
    true = int(labels.sum())
    false = len(labels) - true
    if not true or not false:
        raise ValueError("all labels are the same: there is nothing to rank")
    _, positions, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    above = mean_rank[positions][labels].sum() - true * (true + 1) / 2
    return float(above / (true * false))


def log_loss(chances: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """Return the mean surprise, in nats, of whoever believed *chances*: less is better."""
    believed = np.where(labels, chances, 1 - chances)
    return float(-np.log(np.clip(believed, _SMALLEST_CHANCE, 1.0)).mean())


def _logistic(values: Vector) -> Vector:
    # By tanh: it overflows for no argument.
    return 0.5 * (1 + np.tanh(0.5 * values))
