"""A linear classifier on frozen features, trained on a few pictures per class and tested on others of the same set.

Axes: N pictures, D features, K classes, R repeats.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

STRENGTH = 1.0  # C of scikit-learn: the inverse of the L2 penalty, on features of mean 0 and variance 1
MOST_STEPS = 2000  # of L-BFGS; 100 to 300 are usual


def pooled(value: Tensor, most: int) -> np.ndarray:
    """A layer's value as features, N x D: maps averaged over at most `most` x `most` fields, neurons as they are."""
    from torch.nn.functional import adaptive_avg_pool2d

    from reportgen import project

    value = project.exact(value)
    if value.ndim == 4:
        sides = (min(most, value.shape[2]), min(most, value.shape[3]))
        value = adaptive_avg_pool2d(value, sides)  # N C p p
    return project.to_numpy(value.flatten(1))  # N D


def kept(labels: np.ndarray, priorities: np.ndarray, most: int) -> np.ndarray:
    """Which pictures to keep, at most so many of each class: those of the lowest priority numbers, in their order.

    Of kept pictures and more, the same ones are kept as of all at once: memory does not grow with the set.
    """
    import numpy as np

    chosen = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    chosen = [own[np.argsort(priorities[own], kind="stable")[:most]] for own in chosen]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=int)


class Split(NamedTuple):
    """One way to part the pictures: places among them to train on and to test on."""

    train: np.ndarray
    test: np.ndarray


def splits(
    labels: np.ndarray, classes: Sequence[int], train: int, test: int | None, repeats: int, rng: np.random.Generator
) -> Iterator[Split]:
    """Random splits with exactly `train` pictures of each class to train on and at most `test` others to test on."""
    import numpy as np

    for _ in range(repeats):
        shuffled = [rng.permutation(np.flatnonzero(labels == k)) for k in classes]
        end = None if test is None else train + test
        yield Split(
            np.concatenate([own[:train] for own in shuffled]), np.concatenate([own[train:end] for own in shuffled])
        )


class Scores(NamedTuple):
    """What the classifiers of one layer reach."""

    accuracy: np.ndarray  # R: mean over classes
    per_class: np.ndarray  # K: mean over repeats
    on_training: float  # share of the training pictures that are told right, mean over repeats


def probe(features: np.ndarray, labels: np.ndarray, classes: Sequence[int], parted: Sequence[Split]) -> Scores:
    """How well softmax regression on the features tells the classes apart, on pictures it was not trained on."""
    import numpy as np

    shares, on_training = [], []
    for split in parted:
        classifier = fitted(features[split.train], labels[split.train])
        right = classifier.predict(features[split.test]) == labels[split.test]
        shares.append([right[labels[split.test] == k].mean() for k in classes])
        on_training.append((classifier.predict(features[split.train]) == labels[split.train]).mean())
    table = np.array(shares)  # R K
    return Scores(table.mean(axis=1), table.mean(axis=0), float(np.mean(on_training)))


def fitted(features: np.ndarray, labels: np.ndarray) -> Any:
    """Softmax regression with an L2 penalty on features brought to mean 0 and variance 1, as these pictures have them.

    Features that do not vary stay at 0. The answer of L-BFGS is unique up to its tolerance and needs no seed.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=MOST_STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so far the last digits only would move
        return classifier.fit(features.astype("float64"), labels)
